"""Chat templates: what an instruct model reads, one BOS, and offsets that stay those of the prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import LanguageModel, ModelError, Probe, ReadPrompt, Request, RunContext, Scorer, models
from zu_framework.engine.check import check
from zu_framework.errors import ConfigError
from zu_framework.testing import tiny_model, tiny_tokenizer

# what the test tokenizer's template writes, by hand
OPEN, CLOSE = "<s><|user|>", "<|end|><|assistant|>"


def chatting(system: str = "", **options: Any) -> LanguageModel:
    tokenizer = tiny_tokenizer(chat=True, **options)
    lm = tiny_model("llama", tokenizer=tokenizer)
    return replace(lm, chat=models.Chat.of(tokenizer, system))


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return chatting()


def plain(lm: LanguageModel, text: str) -> list[int]:
    return list(lm.tokenizer(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("system", ["", "Answer in one word."])
def test_a_prompt_is_read_in_the_template_with_one_bos(bos: bool, system: str) -> None:
    lm = chatting(system, bos=bos)
    ids = models.encode_prompt(lm, "The capital of France is").ids
    turn = f"<|system|>{system}<|end|>" if system else ""
    assert ids == plain(lm, f"<s>{turn}<|user|>The capital of France is{CLOSE}")
    assert ids.count(lm.tokenizer.bos_token_id) == 1 and ids[0] == lm.tokenizer.bos_token_id


@pytest.mark.parametrize(("bos", "count"), [(True, 1), (False, 0)])
def test_a_template_without_bos_gets_the_one_that_the_tokenizer_puts_anyway(bos: bool, count: int) -> None:
    lm = chatting(bos=bos)
    lm.tokenizer.chat_template = lm.tokenizer.chat_template.replace("{{ bos_token }}", "")
    encoding = models.encode_prompt(lm, "Paris")
    assert encoding.ids.count(lm.tokenizer.bos_token_id) == count
    assert encoding.ids[count] == lm.tokenizer.convert_tokens_to_ids("<|user|>")
    assert len(encoding.ids) == len(encoding.offsets)


def test_a_template_that_writes_bos_twice_is_read_with_one() -> None:
    lm = chatting()
    lm.tokenizer.chat_template = "{{ bos_token }}" + lm.tokenizer.chat_template
    assert models.encode_prompt(lm, "Paris").ids == plain(lm, f"{OPEN}Paris{CLOSE}")


CASES = [
    ("Quinania is a country", "Quinania", 0),  # at the start, right after the template's mark
    ("Paris, the lovely Paris", "Paris", None),  # repeated: the last
    ("Paris, the lovely Paris", "Paris", 0),
    ("The set {x} of {} is", "{}", None),
    ("The set {x} of {} is", "{x}", None),
    ("Where is Paris", "Paris", None),  # at the end, right before the template's mark
    ("  A user asks for user Anna", "user", None),  # the template's own words; white space that it cuts
    ("Zoë Kravitz acts in ", "Zoë Kravitz", None),
    ("日本の首都は", "日本", None),
]


@pytest.mark.parametrize("system", ["", "Paris {} user"])
@pytest.mark.parametrize(("text", "subject", "start"), CASES)
def test_the_token_read_is_the_subjects(text: str, subject: str, start: int | None, system: str) -> None:
    lm = chatting(system)
    begin = text.rindex(subject) if start is None else start
    row = models.row_of(lm, ReadPrompt(text, begin + len(subject)))
    before = f"<s><|system|>{system}<|end|><|user|>" if system else OPEN
    lead = len(text) - len(text.lstrip())
    upto = plain(lm, before + text[lead : begin + len(subject)])
    # the token read is the last of all that the subject's characters need
    assert row.position == len(upto) - 1
    assert row.ids[: len(upto) - 1] == upto[:-1]


@given(text=st.text(st.sampled_from("ab {}!<|>\né"), min_size=1, max_size=12).filter(str.strip))
def test_offsets_are_those_of_the_prompt(text: str) -> None:
    lm = SHARED
    encoding = models.encode_prompt(lm, text)
    inside = [(a, b) for a, b in encoding.offsets if a < b]
    assert inside[0][0] == len(text) - len(text.lstrip()) and inside[-1][1] == len(text.rstrip())
    for token, (a, b) in zip(encoding.ids, encoding.offsets, strict=True):
        if a < b and text[a:b].isascii():
            assert lm.tokenizer.decode([token]) == text[a:b]


SHARED = chatting()


def test_a_prompt_is_read_last_where_the_model_is_about_to_answer(lm: LanguageModel) -> None:
    text = "Where is Paris"
    last = models.row_of(lm, ReadPrompt(text, len(text), at_end=True))
    assert last.position == len(last.ids) - 1
    assert last.ids[-1] == lm.tokenizer.convert_tokens_to_ids("<|assistant|>")
    bare = replace(lm, chat=None)
    own, end = (models.row_of(bare, ReadPrompt(text, len(text), at_end=flag)) for flag in (False, True))
    assert own == end


def test_an_answer_is_written_as_the_template_writes_a_reply(lm: LanguageModel) -> None:
    assert models.encode_answer(lm, " Paris") == models.encode_answer(lm, "Paris") == plain(lm, "Paris")
    assert models.encode_answer(replace(lm, chat=None), "Paris") == plain(lm, " Paris")
    assert models.encode_answer(lm, "</s>") == [lm.tokenizer.eos_token_id]
    spaced = chatting()
    spaced.tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
    )
    spaced = replace(spaced, chat=models.Chat.of(spaced.tokenizer))
    assert models.encode_answer(spaced, "Paris") == plain(spaced, " Paris")
    assert models.encode_prompt(spaced, "Hm").ids == plain(spaced, "<s>[INST] Hm [/INST]")


def test_collector_targets_scores_and_completions_read_the_same_tokens(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of a run sees a prompt between the template's marks, and text for statistics outside them."""
    from zu_plugins.collectors.collectors import PromptLast, SubjectLast
    from zu_plugins.collectors.options import ContextOptions
    from zu_plugins.targets.neutral import Neutral
    from zu_plugins.targets.options import NeutralOptions

    seen: list[list[int]] = []
    forward = type(lm.model).forward

    def watched(self: Any, input_ids: Any = None, attention_mask: Any = None, **more: Any) -> Any:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        seen.extend(row[keep.bool()].tolist() for row, keep in zip(input_ids, mask, strict=True))
        return forward(self, input_ids=input_ids, attention_mask=attention_mask, **more)

    request = Request("The capital of France is", "Paris", subject="France")
    marks = [lm.tokenizer.convert_tokens_to_ids(mark) for mark in ("<|user|>", "<|assistant|>")]
    options, context = ContextOptions(contexts="fixed", templates=["So. {}"]), RunContext()
    for collector in (SubjectLast(options, context), PromptLast(options, context)):
        plan = collector.plan(lm, [request])
        monkeypatch.setattr(type(lm.model), "forward", watched)
        collector.collect(lm, plan, lm.site(1))
        # whole forward passes: a replay reads a row from its read position on
        Neutral(NeutralOptions(steps=1, replay="none"), context).prepare(lm, plan, [lm.site(1)])
        Scorer(lm).score([Probe(request.prompt, "Paris")])
        Scorer(lm).completions([request.prompt], 2)
        monkeypatch.undo()
    assert len(seen) > 10
    assert all(ids[0] == lm.tokenizer.bos_token_id and ids.count(ids[0]) == 1 for ids in seen)
    met = [[token for token in ids if token in marks] for ids in seen]
    # the row "<subject> is a" ends where it is read: what comes after cannot matter to a causal model
    cut = [lm.tokenizer.decode(ids) for ids, found in zip(seen, met, strict=True) if found != marks]
    assert set(cut) <= {"<s><|user|>France"} and len(cut) < len(seen) / 2


def test_general_text_is_read_outside_the_template(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(lm, chat=None)
    assert Scorer(lm).perplexity(["The old bridge"]) == Scorer(bare).perplexity(["The old bridge"])
    assert lm.sample(["The"], 4, 0) == bare.sample(["The"], 4, 0)


def test_a_reply_ends_at_the_end_of_a_turn() -> None:
    lm = chatting()
    first = models.row_of(lm, ReadPrompt("Hm", 2)).ids
    with torch.no_grad():
        likeliest = int(lm.model(torch.tensor([first])).logits[0, -1].argmax())
    assert Scorer(lm).completions(["Hm"], 3) != [""]
    lm.model.generation_config.eos_token_id = [lm.tokenizer.eos_token_id, likeliest]
    assert Scorer(lm).completions(["Hm"], 3) == [""]


def test_a_date_in_the_template_does_not_depend_on_the_day() -> None:
    lm = chatting()
    lm.tokenizer.chat_template = (
        "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y %H:%M:%S') %}{% endif %}"
        "{{ date_string }}{{ messages[0].content }}"
    )
    assert models.Chat.of(lm.tokenizer).wrapped(lm.tokenizer, "Hm")[0] == "26 Jul 2024Hm"


REFUSED = {
    "none": (None, "", "this tokenizer has no chat template: use an instruct checkpoint"),
    "no-system": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{{ messages[0].content }}",
        "Be brief.",
        "refuses system and user messages: System role not supported; drop model.system",
    ),
    "system-left-out": (
        "{{ messages[-1].content }}",
        "Be brief.",
        "leaves the system prompt out: drop model.system",
    ),
    "twice": ("{{ messages[0].content }}{{ messages[0].content }}", "", "writes a message 2 times"),
    "broken": ("{{ messages[0]", "", "refuses user messages"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_templates_that_cannot_be_used_are_refused(name: str) -> None:
    template, system, message = REFUSED[name]
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ModelError) as caught:
        models.Chat.of(tokenizer, system)
    assert message in str(caught.value)


def test_a_template_that_changes_a_prompt_is_refused() -> None:
    lm = chatting()
    lm.tokenizer.chat_template = "{{ messages[0].content | replace('w', 'v') }}"
    chat = models.Chat.of(lm.tokenizer)
    assert chat.wrapped(lm.tokenizer, "hm")[0] == "hm"
    with pytest.raises(ModelError, match="does not keep the prompt 'a wide day'"):
        chat.wrapped(lm.tokenizer, "a wide day")


def test_check_meets_chat_at_the_door(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no chat template"):
        check("demo", ["model.chat=true"])
    with pytest.raises(ConfigError, match="model.system is read with model.chat=true alone"):
        check("demo", ["model.system=Be brief"])
    folder = tmp_path / "model"
    LanguageModel.wrap(chatting().model, chatting().tokenizer).save(folder)
    assert check("demo", [f"model.path={folder}", "model.chat=true", "model.system=Be brief"]).forget == 10


@pytest.mark.parametrize("collector", ["subject-last", "prompt-last"])
def test_a_run_on_an_instruct_model(tmp_path: Path, collector: str) -> None:
    from zu_framework import run

    folder = tmp_path / "model"
    tokenizer = tiny_tokenizer(chat=True)
    LanguageModel.wrap(tiny_model("llama", tokenizer=tokenizer).model, tokenizer).save(folder)
    result = run(
        "demo",
        [
            f"model.path={folder}",
            "model.chat=true",
            "data.forget=2",
            "data.retain=2",
            "target.steps=2",
            "evaluate.metrics=[efficacy, answer_probability]",
            f"output.folder={tmp_path}",
            f"collector={{name: {collector}, contexts: none}}",
            "background.documents=20",
        ],
    )
    assert result.before["efficacy"].denominator == 2
    assert result.edit.sites
