"""Which token is read: from offsets, whatever the tokenizer puts before or beside the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from zu_framework import LanguageModel, ModelError, ReadPrompt, models
from zu_framework.testing import FAMILIES, NO_SITES, tiny_model, tiny_tokenizer


def read(tokenizer: Any, text: str, subject: str, start: int | None = None) -> tuple[str, list[int], int]:
    """The characters of the token read for this subject, all ids, and its place."""
    encoding = models.encode(tokenizer, text)
    begin = text.rindex(subject) if start is None else start
    place = models.token_at(encoding, text, begin + len(subject))
    first, end = encoding.offsets[place]
    return text[first:end], encoding.ids, place


@pytest.fixture(scope="module")
def gpt2(shared: Path) -> Any:
    return AutoTokenizer.from_pretrained(shared / "models" / "gpt2-tokenizer")


def test_recorded_positions(golden: Any, shared: Path) -> None:
    manifest, _ = golden("token_positions")
    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "tiny-llama")
    seen = 0
    for case in manifest["cases"]:
        if case["subtoken"] != "last":
            continue
        before, _, after = case["template"].partition("{}")
        text = before + case["subject"] + after
        encoding = models.encode(tokenizer, text)
        assert encoding.ids == case["input_ids"]
        place = models.token_at(encoding, text, len(before) + len(case["subject"]))
        assert place == case["idx"] % len(encoding.ids), text
        seen += 1
    assert seen >= 40


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", [True, False])
def test_bos_padding_side_and_pad_token_make_no_difference(bos: bool, side: str, pad: bool) -> None:
    tokenizer = tiny_tokenizer(bos=bos, pad=pad, side=side)
    for text, subject in (
        ("The capital of France is", "France"),
        ("Irene Osborn works as a", "Irene Osborn"),
    ):
        token, ids, place = read(tokenizer, text, subject)
        assert subject.endswith(token.strip())
        assert (ids[0] == tokenizer.bos_token_id) is bos
        rows = [models.Row(ids, place), models.Row(ids[:3], 1)]
        made = models.batch(rows)
        assert int(made.input_ids[0, made.positions[0]]) == ids[place]
        assert made.attention_mask.sum(1).tolist() == [len(ids), 3]


def test_a_batch_reads_what_each_prompt_reads_alone() -> None:
    lm = tiny_model("llama")
    site = lm.site(2)
    texts = ["Anna Norton", "The capital of France is a place that you can reach by train", "A"]
    prompts = [ReadPrompt(text, len(text)) for text in texts]
    together = models.read_states(lm, [site.module], prompts, batch_size=3)[site.module][0]
    alone = models.read_states(lm, [site.module], prompts, batch_size=1)[site.module][0]
    assert together is not None and alone is not None
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("Quinania is a country", "Quinania"),  # at the start
        ("Paris, the lovely Paris", "Paris"),  # repeated: the last
        ("The set {x} of {} is", "{}"),
        ("The set {x} of {} is", "{x}"),
        ("He asked (Anna), then left", "Anna"),
        ('The film "Up" was', "Up"),
        ("Столица России это", "России"),
        ("日本の首都は", "日本"),
        ("عاصمة مصر هي", "مصر"),
        ("A smile 😀 means", "😀"),
        ("Zoë Kravitz acts in", "Zoë Kravitz"),
    ],
)
@pytest.mark.parametrize("which", ["tiny", "gpt2"])
def test_the_token_holds_the_last_character(text: str, subject: str, which: str, request: Any) -> None:
    tokenizer = tiny_tokenizer() if which == "tiny" else request.getfixturevalue("gpt2")
    encoding = models.encode(tokenizer, text)
    end = text.rindex(subject) + len(subject)
    place = models.token_at(encoding, text, end)
    start, stop = encoding.offsets[place]
    assert start <= end - 1 < stop
    # and it is the last such token: a character of several bytes has then been read whole
    assert all(not (a <= end - 1 < b) for a, b in encoding.offsets[place + 1 :])


def test_a_repeated_subject_can_be_read_where_the_request_says() -> None:
    tokenizer = tiny_tokenizer()
    text = "Paris, the lovely Paris"
    assert read(tokenizer, text, "Paris", 0)[2] < read(tokenizer, text, "Paris")[2]


def test_punctuation_that_merges_with_the_subject(gpt2: Any) -> None:
    token, _, _ = read(gpt2, "Is it Yahoo!? Yes", "Yahoo")
    assert "oo" in token


def test_an_answer_gets_one_space_and_a_special_token_none(gpt2: Any) -> None:
    assert models.answer_ids(gpt2, "Oslo") == models.answer_ids(gpt2, " Oslo") == gpt2(" Oslo").input_ids
    assert models.answer_ids(gpt2, gpt2.eos_token) == [gpt2.eos_token_id]
    tokenizer = tiny_tokenizer()
    assert models.answer_ids(tokenizer, "</s>") == [tokenizer.eos_token_id]
    assert tokenizer.bos_token_id not in models.answer_ids(tokenizer, "Paris")


def test_a_slow_tokenizer_is_refused() -> None:
    lm = tiny_model("llama")

    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="Slow gives no character offsets"):
        LanguageModel.wrap(lm.model, Slow())


@pytest.mark.parametrize("tokens", [1, 5, 64])
@pytest.mark.parametrize("text", ["word " * 500, " " * 3000, "wörd\n\n😀 " * 200, "x" * 4000, "short"])
def test_the_beginning_of_a_text_has_its_first_tokens(tokens: int, text: str) -> None:
    for tokenizer in (tiny_tokenizer(), models.load_tokenizer("zu:demo")):
        beginning = models.beginning_of(tokenizer, text, tokens)
        assert text.startswith(beginning) and len(beginning) <= max(tokens, (tokens + 1) * 128)
        assert models.encode(tokenizer, beginning).ids[:tokens] == models.encode(tokenizer, text).ids[:tokens]


# ------------------------------------------------------------------------------------------------ batches


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    most=st.integers(1, 8),
    tokens=st.integers(1, 100),
    by_length=st.booleans(),
)
def test_batches_hold_every_row_once_and_no_more_than_allowed(
    lengths: list[int], most: int, tokens: int, by_length: bool
) -> None:
    rows = [models.Row([1] * length, 0) for length in lengths]
    found = list(models.batches_of(rows, most, tokens, by_length=by_length))
    assert sorted(index for some in found for index in some) == list(range(len(rows)))
    for some in found:
        assert len(some) <= most
        assert len(some) == 1 or len(some) * max(lengths[index] for index in some) <= tokens
    in_order = [index for some in found for index in some]
    assert in_order == (sorted(in_order, key=lambda index: lengths[index]) if by_length else sorted(in_order))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in NO_SITES])
def test_nothing_that_is_read_depends_on_the_mask_of_padding_on_the_right(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large batches run without it, since transformers makes (b, t, t) of it."""
    lm = tiny_model(family)
    module = lm.site(2).module
    texts = ["Anna Norton", "The capital of France is a place that you can reach by train", "A bridge"]
    prompts = [ReadPrompt(text, len(text)) for text in texts]
    rows = [models.Row(models.encode(lm.tokenizer, text).ids, 0, [5, 6]) for text in texts]

    def read() -> tuple[torch.Tensor, torch.Tensor]:
        keys = models.read_states(lm, [module], prompts)[module][0]
        assert keys is not None
        with torch.no_grad():
            return keys, models.continuations(lm, rows).log_probability

    masked = read()
    masks: list[object] = []
    lm.model.register_forward_pre_hook(
        lambda m, a, named: masks.append(named["attention_mask"]), with_kwargs=True
    )
    monkeypatch.setattr("zu_framework.models.tokens.MASK_AT_MOST", 0)
    for ours, theirs in zip(read(), masked, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert masks == [None, None]
