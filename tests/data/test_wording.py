"""Questions and cloze prompts are told apart."""

from __future__ import annotations

import pytest

from zu_framework import Request
from zu_framework.data import chat_notes
from zu_framework.data.wording import is_cloze


@pytest.mark.parametrize(
    "prompt",
    [
        "The capital of France is",
        "Paris is the capital of",
        'The capital of France is called "',
        "法国的首都是",
        "Isaac lives in",
        "When Harry Met Sally was directed by",
        "Will Smith was born in",
    ],
)
def test_a_prompt_that_breaks_off(prompt: str) -> None:
    assert is_cloze(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "What is the capital of France?",
        "what is the capital of France",
        "Name the capital of France.",
        "法国的首都是什么\uff1f",
        "Question: who?\nAnswer:",
        'Who wrote "Emma"?',
        "ما هي عاصمة فرنسا؟",
        "Tell me the capital of France",
    ],
)
def test_a_prompt_that_asks(prompt: str) -> None:
    assert not is_cloze(prompt)


def test_the_note_counts_them_and_names_the_first() -> None:
    asked = [Request("Who?", "Ann"), Request("The capital of France is", "Paris", source="f.jsonl, line 2")]
    (note,) = chat_notes(asked)
    assert (
        note.startswith("1 of 2 facts are asked") and "'The capital of France is' (f.jsonl, line 2)" in note
    )
    assert chat_notes(asked[:1]) == ()
