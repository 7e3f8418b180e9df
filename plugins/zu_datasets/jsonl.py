"""One's own facts: one JSON object a line, with `prompt`, `answer` and, for facts about something, `subject`."""

from __future__ import annotations

from typing import Any

from zu_datasets.protocol import drawn_and_rest
from zu_datasets.records import Record, described, read_lines
from zu_framework import DataSplit, Probe, Request


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a file; `retain_path`, or the rest of the file, is kept. Every record is checked, drawn or not."""
    requests = [request_of(record) for record in read_lines(options.path, "data.path")]
    keep_from = None
    if options.retain_path:
        keep_from = [request_of(record) for record in read_lines(options.retain_path, "data.retain_path")]
    return drawn_and_rest(
        requests,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=options.path,
        keep_from=keep_from,
    )


def request_of(record: Record) -> Request:
    """A record as a request.

    With a subject, the prompt holds either `{}`, where the subject goes (the first one counts), or the subject
    itself (its last occurrence counts). Without a subject the prompt is taken as it is.
    """
    prompt, answer = record.text("prompt").rstrip(), record.text("answer")
    subject, start = record.text_or_none("subject"), None
    if subject is None and "{}" in prompt:
        raise record.error("subject", "missing, while the prompt holds {} for it")
    if subject is not None:
        start = prompt.find("{}")
        if start >= 0:
            prompt = prompt[:start] + subject + prompt[start + 2 :]
        else:
            start = prompt.rfind(subject)
        if start < 0:
            raise record.error(
                "subject", f"{subject!r} does not occur in the prompt {prompt!r}, nor does {{}}"
            )
    return Request(
        prompt=prompt,
        answer=answer,
        subject=subject,
        subject_start=start,
        id=record.label("id", ""),
        target=record.text_or_none("target"),
        paraphrases=record.texts("paraphrases") if "paraphrases" in record.fields else (),
        neighbours=_neighbours(record, answer) if "neighbours" in record.fields else (),
        source=record.where,
    )


def _neighbours(record: Record, answer: str) -> tuple[Probe, ...]:
    """Prompts that must keep their answers: texts that share the record's own, or objects with prompt and answer."""
    probes = []
    for index, item in enumerate(record.items("neighbours")):
        name = f"neighbours[{index}]"
        if isinstance(item, str):
            probes.append(Probe(Record({name: item}, record.where).text(name), answer))
        elif isinstance(item, dict):
            inner = Record(item, record.where, f"{name}.")
            probes.append(Probe(inner.text("prompt"), inner.text("answer")))
        else:
            raise record.error(
                name, f"expected a text, or an object with prompt and answer, got {described(item)}"
            )
    return tuple(probes)
