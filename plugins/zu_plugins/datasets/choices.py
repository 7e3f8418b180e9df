"""Multiple-choice questions, as MMLU and WMDP ask them: the answer is a letter, or the choice in words."""

from __future__ import annotations

from zu_framework import Request
from zu_framework.data import Record

LETTERS = "ABCDEFGHIJ"


def choice_request(record: Record, choices: tuple[str, ...], right: int, topic: str, answers: str) -> Request:
    """A question with its choices as a request; right: which choice is true, from 0.

    answers "letter": the form of the published evaluations, which list the choices; "text": the question alone.
    """
    if not 2 <= len(choices) <= len(LETTERS):
        raise record.error("choices", f"expected 2 to {len(LETTERS)} choices, got {len(choices)}")
    if not 0 <= right < len(choices):
        raise record.error("answer", f"is choice {right}, and there are {len(choices)}, counted from 0")
    question = record.text("question").strip()
    if answers == "text":
        return Request(question, choices[right], choices=choices, source=record.where)
    lines = [f"{letter}. {choice.strip()}" for letter, choice in zip(LETTERS, choices, strict=False)]
    head = f"The following are multiple choice questions (with answers) about {topic}."
    return Request(
        prompt="\n".join([head, "", question, *lines, "Answer:"]),
        answer=LETTERS[right],
        choices=tuple(LETTERS[: len(choices)]),
        source=record.where,
    )
