"""RWKU (Jin et al. 2024): famous people to forget, asked at three levels, and their neighbours, which must stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zu_framework import DataError, DataSplit, Request
from zu_framework.data import Part, Record, Source, drawn_and_rest
from zu_plugins.datasets.questions import asked

BLANK = "Please complete the blank in the following question.\nQuestion: {}\nAnswer:"
QUESTION = "Please briefly answer the following question.\nQuestion: {}\nAnswer:"
EXAMPLES = "Please briefly answer the following question.\n{}\nAnswer:"  # the query brings questions and answers along
SUFFIX = "Please briefly answer the following question.\nQuestion: {}"  # the query ends in the answer's first words


def load(options: Any, seed: int) -> DataSplit:
    """Probes of the chosen levels are forgotten, the other levels measured besides; the neighbours are retained.

    The levels that `levels` names must be there; the rest is read where it is.
    """
    source = Source(options.path)
    forget: list[Request] = []
    others: dict[str, tuple[Request, ...]] = {}
    for level in (1, 2, 3):
        part = Part((f"forget_level{level}",), f"forget_level{level}", "test")
        records = source.read(part) if level in options.levels else source.find(part)
        requests = _requests(records or [], level, options)
        if level in options.levels:
            forget += requests
        elif requests:
            others[f"forget_level{level}"] = requests
    if not forget:
        raise DataError(
            f"{options.path}: no probe of levels {options.levels} is about data.target {options.target!r}"
        )
    retain: list[Request] = []
    for level in (1, 2):
        found = source.find(Part((f"neighbor_level{level}",), f"neighbor_level{level}", "test"))
        retain += _requests(found or [], level, options)
    drawn = drawn_and_rest(
        forget,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=options.path,
        retain_from=retain,
        retain_where=f"the neighbours of {options.path}",
    )
    texts = {}
    for name in ("forget", "retain"):
        found = source.find(Part((f"{name}_mia",), f"mia_{name}", "test"))
        if found is not None:  # passages to retain are about nobody who is to be forgotten
            chosen = _about(found, options.target) if name == "forget" else found
            texts[name] = tuple(record.text("text", longest=None) for record in chosen)
    return replace(drawn, others=others, texts=texts)


def _about(records: list[Record], target: str) -> list[Record]:
    return [record for record in records if not target or record.text("subject") == target]


def _requests(records: list[Record], level: int, options: Any) -> tuple[Request, ...]:
    return tuple(request_of(record, level, options.wording) for record in _about(records, options.target))


def request_of(record: Record, level: int, wording: str) -> Request:
    """A probe as a request, in the benchmark's own instruction or bare; the subject where the query names it."""
    query, subject = record.stripped("query"), record.stripped("subject")
    template = "{}" if wording == "bare" else _instruction(level, record.fields.get("type"))
    prompt = asked(template, query)
    return Request(
        prompt=prompt,
        answer=record.text("answer"),
        subject=subject if subject in prompt else None,
        source=record.where,
    )


def _instruction(level: int, kind: Any) -> str:
    """As the benchmark's own evaluation words it."""
    if level == 3:
        return {"affirmative suffix": SUFFIX, "incontext learning": EXAMPLES}.get(str(kind), QUESTION)
    return BLANK if level == 1 else QUESTION
