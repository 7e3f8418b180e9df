"""Questions and answers without a subject, as TOFU, MUSE and others publish them."""

from __future__ import annotations

from collections.abc import Iterable

from zu_framework import Request
from zu_framework.data import Record


def asked(template: str, question: str) -> str:
    """A question in a template, at its `{}`; white space at the end is cut, because the answer brings its own."""
    before, _, after = template.partition("{}")
    return f"{before}{question.strip()}{after}".rstrip()


def request_of(record: Record, template: str) -> Request:
    """A record of `question` and `answer`; what TOFU's perturbed parts have besides is taken where it is there."""
    paraphrase = record.text_or_none("paraphrased_question")
    return Request(
        prompt=asked(template, record.text("question")),
        answer=record.text("answer"),
        paraphrases=(asked(template, paraphrase),) if paraphrase else (),
        source=record.where,
        paraphrased_answer=record.text_or_none("paraphrased_answer"),
        perturbed_answers=record.texts_or_none("perturbed_answer"),
    )


def requests_of(records: Iterable[Record], template: str) -> tuple[Request, ...]:
    """A request for each record."""
    return tuple(request_of(record, template) for record in records)
