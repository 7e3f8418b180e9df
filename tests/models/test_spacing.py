"""Whether an answer follows its prompt after a space: by the prompt's end, and in tokens of every kind of tokenizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from zu_framework.models import answer_ids, encode_answer, wants_space
from zu_framework.testing import tiny_model, tiny_tokenizer


@pytest.mark.parametrize(
    ("prompt", "space"),
    [
        ("The capital of France is", True),
        ("Question: where? Answer:", True),
        ("She said “no” and", True),
        ('He called it "big"', True),
        ("Столица Франции —", False),
        ("프랑스의 수도는", True),
        ('The capital of France is called "', False),
        ("The capital of France is called “", False),
        ("Die Hauptstadt heißt «", False),
        ('"', False),
        ("The answer (", False),
        ("It cost $", False),
        ("It cost €", False),
        ("A list:\n", False),
        ("It is ", False),
        ("see http://", False),
        ("法国的首都是", False),
        ("日本の首都は", False),
        ("答案\uff1a", False),
        ("เมืองหลวงของฝรั่งเศสคือ", False),
        ("", False),
    ],
)
def test_the_prompts_end_decides_where_the_model_was_not_asked(prompt: str, space: bool) -> None:
    assert wants_space(prompt) is space


def sentencepiece() -> Any:
    """A tokenizer that puts a space before every text of its own accord, as Llama 2's does."""
    pieces = ["<unk>", "▁", "▁Paris", "Paris", "▁is", "(", "1", "▁(", "▁1", "s", "P", "a", "r", "i"]
    vocabulary = [(piece, -float(i)) for i, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def spaced_bytes() -> Any:
    """A byte-level tokenizer with `add_prefix_space`."""
    made = tiny_tokenizer(bos=False)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return made


@pytest.mark.parametrize("make", [lambda: tiny_tokenizer(bos=False), sentencepiece, spaced_bytes])
def test_both_ways_in_tokens(make: Any) -> None:
    tokenizer = make()
    spaced, bare = (answer_ids(tokenizer, "Paris", space=space) for space in (True, False))
    first = tokenizer.convert_ids_to_tokens(spaced)[0]
    assert first[0] in "▁Ġ" and "".join(tokenizer.convert_ids_to_tokens(spaced))[1:] == "Paris"
    assert "".join(tokenizer.convert_ids_to_tokens(bare)) == "Paris"
    assert answer_ids(tokenizer, " Paris", space=False) == bare  # the answer's own space is not part of it


def test_an_answer_is_read_as_its_prompt_decides() -> None:
    lm = tiny_model("llama")
    spaced, bare = (answer_ids(lm.tokenizer, "Paris", space=space) for space in (True, False))
    assert encode_answer(lm, "Paris", 'It is called "') == spaced  # nothing was settled: as published
    settled = replace(lm, answer_space={"The capital is": False})
    assert encode_answer(settled, "Paris", "The capital is") == bare
    assert encode_answer(settled, "Paris", "Another capital is") == spaced
    assert encode_answer(settled, "Paris", 'It is called "') == bare
    assert encode_answer(settled, "Paris") == spaced
    assert encode_answer(settled, "</s>", "The capital is") == [lm.tokenizer.eos_token_id]
