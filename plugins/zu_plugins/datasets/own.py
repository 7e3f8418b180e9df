"""One's own facts, an object a line or a row of a table: `prompt`, `answer` and, for facts about something, `subject`.

In a table (csv) a cell that holds several texts is a JSON list, or the texts with a separator between them.
"""

from __future__ import annotations

import json
from typing import Any

from zu_framework import DataSplit, Probe, Request
from zu_plugins.datasets.protocol import drawn_and_rest
from zu_plugins.datasets.records import Record, described, read_csv, read_lines

TEXTS = ("paraphrases", "perturbed_answers", "choices", "aliases")  # fields that hold several texts
PROBES = ("neighbours", "implied")  # and those that hold probes


def load(options: Any, seed: int) -> DataSplit:
    """The facts of a file; `retain_path`, or the rest of the file, is kept. Every record is checked, drawn or not."""
    requests = [request_of(record) for record in _records(options, "path")]
    keep_from = None
    if options.retain_path:
        keep_from = [request_of(record) for record in _records(options, "retain_path")]
    return drawn_and_rest(
        requests,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=options.path,
        keep_from=keep_from,
    )


def _records(options: Any, name: str) -> list[Record]:
    path, key = getattr(options, name), f"data.{name}"
    separator = getattr(options, "separator", None)
    if separator is None:
        return read_lines(path, key)
    return [_unfolded(record, separator) for record in read_csv(path, key)]


def _unfolded(record: Record, separator: str) -> Record:
    """A row whose cells for several texts are lists."""
    fields = dict(record.fields)
    for name in (*TEXTS, *PROBES):
        cell = fields.get(name)
        if cell is None:
            continue
        if not cell.lstrip().startswith("["):
            fields[name] = [part.strip() for part in cell.split(separator)]
            continue
        try:
            fields[name] = json.loads(cell)
        except ValueError as cause:
            raise record.error(name, f"begins like a JSON list, and is none: {cause}") from cause
    return Record(fields, record.where)


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
        source=record.where,
        alternative=record.text_or_none("alternative"),
        paraphrased_answer=record.text_or_none("paraphrased_answer"),
        paraphrases=record.texts_or_none("paraphrases"),
        perturbed_answers=record.texts_or_none("perturbed_answers"),
        choices=record.texts_or_none("choices"),
        aliases=record.texts_or_none("aliases"),
        neighbours=_probes(record, "neighbours", answer),
        implied=_probes(record, "implied", answer),
    )


def _probes(record: Record, field: str, answer: str) -> tuple[Probe, ...]:
    """Prompts with answers: texts that share the record's own, or objects with prompt and answer."""
    probes = []
    for index, item in enumerate(record.items(field) if record.fields.get(field) is not None else ()):
        name = f"{field}[{index}]"
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
