"""CounterFact in its published schema (ROME, Meng et al. 2022): one request a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zu_datasets.protocol import drawn_and_rest, first_and_second_half
from zu_datasets.records import Record, read_list
from zu_framework import DataSplit, Probe, Request


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a CounterFact file, drawn by the protocol. Every record is checked, whether drawn or not."""
    requests = [request_of(record) for record in read_list(options.path, "data.path")]
    return split(requests, options.protocol, options.forget, options.retain, seed, options.path)


def split(
    requests: Sequence[Request], protocol: str, forget: int, retain: int, seed: int, where: str
) -> DataSplit:
    """Draw by a protocol: `zerounlearn` or `all`."""
    draw = first_and_second_half if protocol == "zerounlearn" else drawn_and_rest
    return draw(requests, forget=forget, retain=retain, seed=seed, where=where)


def request_of(record: Record) -> Request:
    """A record as a request: the answer is the true one, `target_true`; neighbours share it."""
    rewrite = record.inside("requested_rewrite")
    template, subject = rewrite.text("prompt"), rewrite.text("subject")
    answer = rewrite.inside("target_true").text("str")
    prompt, start = filled(rewrite, template, subject)
    return Request(
        prompt=prompt,
        answer=answer,
        subject=subject,
        subject_start=start,
        id=record.label("case_id", ""),
        paraphrases=record.texts("paraphrase_prompts"),
        neighbours=tuple(Probe(text, answer) for text in record.texts("neighborhood_prompts")),
        source=record.where,
    )


def filled(record: Record, template: str, subject: str) -> tuple[str, int]:
    """The prompt with the subject at its first `{}`, and the character at which the subject starts.

    By slicing: prompts and subjects may hold braces that `str.format` would read. A trailing space is cut, because
    the answer brings its own.
    """
    start = template.find("{}")
    if start < 0:
        raise record.error("prompt", f"holds no {{}} for the subject: {template!r}")
    after = template[start + 2 :].rstrip()
    return template[:start] + subject + after, start
