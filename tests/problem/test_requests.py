"""Requests: white space, and where a subject stands."""

from __future__ import annotations

import pytest

from zu_framework import DataError, Probe, Request
from zu_framework.problem.requests import find_subject


@pytest.mark.parametrize(
    ("prompt", "subject", "start"),
    [
        ("The capital of France is", "France", 15),
        ("France, as France is", "France", 11),
        ("Niger borders Nigeria", "Niger", 0),
        ("Nigeria borders Niger and Nigeria", "Niger", 16),
        ("Rome is not Romeo", "Rome", 0),
        ("Chromers live in Rome's heart", "Rome", 17),
        ("In New_York they know York", "York", 22),
        ("Ottomans ruled", "Ottoman", 0),  # an ending is attached, and nothing else is there
        ("Nigerian or Nigerien", "Niger", 12),
        ("e\u0301 or e", "e", 6),
        ("e or e\u0301", "e", 0),  # the second one is another letter
        ("法国,即法国的首都是", "法国", 4),
        ("เมืองหลวงของฝรั่งเศสคือ", "ฝรั่งเศส", 12),
        ("프랑스의 수도는", "프랑스", 0),
        ("The capital is", "France", -1),
        ("aaa", "aa", 1),
        ("42 and 420", "42", 0),
        ("'France'", "France", 1),
    ],
)
def test_the_last_occurrence_that_is_no_part_of_a_longer_word(prompt: str, subject: str, start: int) -> None:
    assert find_subject(prompt, subject) == start


def test_white_space_is_no_part_of_subject_and_answer() -> None:
    request = Request("The capital of  France is \t", " Paris\n", " France ", paraphrases=("It is ",))
    assert (request.prompt, request.answer, request.subject) == (
        "The capital of  France is",
        "Paris",
        "France",
    )
    assert (request.subject_start, request.subject_end, request.paraphrases) == (16, 22, ("It is",))
    assert Request("of  France is", "Paris", " France ", subject_start=3).subject_start == 4
    assert Probe("It is ", "\ufeffx\u200b") == Probe("It is", "x")


def test_a_line_break_at_the_end_of_a_prompt_stays() -> None:
    assert Request("Capital?\n", "Paris").prompt == "Capital?\n"
    assert Request("Capital? \n ", "Paris").prompt == "Capital?\n"


@pytest.mark.parametrize(
    ("prompt", "subject", "hint"),
    [
        ("The capital of France is", "Rome", "$"),
        ("The capital of France is", "FRANCE", "; it is written 'France' there$"),
        ("Cafe\u0301 is", "Caf\u00e9", "; the two are written in different Unicode normal forms: use NFC$"),
    ],
)
def test_a_subject_that_is_not_there(prompt: str, subject: str, hint: str) -> None:
    with pytest.raises(DataError, match=f"subject '{subject}' does not occur in prompt '{prompt}'{hint}"):
        Request(prompt, "x", subject)


@pytest.mark.parametrize("fields", [{"prompt": " \n"}, {"answer": "\u200b"}, {"subject": " "}])
def test_nothing_is_empty(fields: dict[str, str]) -> None:
    with pytest.raises(DataError, match="empty"):
        Request(**{"prompt": "a", "answer": "b", **fields})  # type: ignore[arg-type]


def test_what_metrics_read_besides_takes_part_in_equality() -> None:
    assert Request("a", "b", extra={"c": 1}) == Request("a", "b", extra={"c": 1})
    assert Request("a", "b", extra={"c": 1}) != Request("a", "b")
    assert len({Request("a", "b", extra={"c": [1]}), Request("a", "b", extra={"c": [1]})}) == 1
