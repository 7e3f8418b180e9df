"""A user's own facts, in a file of any accepted form or given in Python: one parser for both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zu_framework.data.agreement import (
    distinct,
    note_on_neighbours,
    notes_on,
    refuse_overlap,
    worded_once,
)
from zu_framework.data.fields import ONE, PROBES, TEXTS, request_of
from zu_framework.data.files import read_file
from zu_framework.data.messages import described
from zu_framework.data.records import Record
from zu_framework.data.schemas import COLUMNS, own_fields, system_message, unfolded
from zu_framework.errors import DataError
from zu_framework.problem import DataSplit, Request

Given = str | Path | Request | Mapping[str, Any] | Iterable[Request | Mapping[str, Any]]


class Facts(NamedTuple):
    """Facts as they stand in a file or a list, and what the user should know of how they were read."""

    requests: tuple[Request, ...]
    notes: tuple[str, ...] = ()


def read_facts(
    path: str, key: str = "data.path", *, separator: str = "|", declared: Collection[str] = ()
) -> Facts:
    """Return the facts of a file: JSON, a table, chat messages, questions and answers, or KnowEdit's records.

    Args:
        path: The file; `read_file` says which kinds there are.
        key: The option that gave the path, for messages.
        separator: Between the texts of a table's cell that holds several.
        declared: Fields that plugins' metrics read; they go to `Request.extra`.

    Returns:
        The facts as they stand in the file, repeated ones too.

    Raises:
        ConfigError: The path is empty, or the file needs the extra `tables`.
        DataError: The file or a record is broken: file, line or record, and field are named.
    """
    known = {name.casefold() for name in (*COLUMNS, *declared)}
    return _facts(read_file(path, key, known), separator, declared)


def requests_from(given: Given, what: str = "request", *, declared: Collection[str] = ()) -> Facts:
    """Return facts that were given in Python.

    Args:
        given: Requests and mappings (in any schema that files may have), in whatever order; one alone; a data frame, a
            row a fact; or the path of a file.
        what: What messages call them; a number follows.
        declared: Fields that plugins' metrics read; they go to `Request.extra`.

    Returns:
        The facts as they were given, repeated ones too.

    Raises:
        DataError: One is broken: its number and field are named.
    """
    if isinstance(given, str | Path):
        return read_facts(str(given), f"the path of {what}s", declared=declared)
    if isinstance(given, Request | Mapping):
        given = [given]
    elif hasattr(given, "to_dict") and hasattr(given, "columns"):
        given = [_row(row) for row in given.to_dict("records")]
    if not isinstance(given, Iterable):
        raise DataError(f"{what}s: expected a list of facts, got {described(given)}")
    found: list[Request] = []
    notes: tuple[str, ...] = ()
    for number, item in enumerate(given):
        if isinstance(item, Request):
            found.append(_checked(item, f"{what} {number}"))
        elif isinstance(item, Mapping):
            read = _facts([Record(item, f"{what} {number}")], "|", declared)
            found += read.requests
            notes += read.notes
        else:
            raise DataError(
                f"{what} {number}: expected a zu.Request or a mapping with prompt and answer, got {described(item)}"
            )
    return Facts(tuple(found), notes)


def split_from(forget: Given, retain: Given = (), *, declared: Collection[str] = ()) -> DataSplit:
    """Return facts that were given in Python as a split, equal facts once.

    Args:
        forget: The facts to forget, as `requests_from` takes them.
        retain: The facts to retain, likewise.
        declared: Fields that plugins' metrics read; they go to `Request.extra`.

    Returns:
        The split, with notes on what was repeated or contradictory.

    Raises:
        DataError: A fact is broken, there is none to forget, or one is to be forgotten and to be retained.
    """
    asked = requests_from(forget, declared=declared)
    others = requests_from(retain, "fact to retain", declared=declared)
    if not asked.requests:
        raise DataError("no fact to forget is given")
    refuse_overlap(asked.requests, others.requests)
    return DataSplit(
        tuple(distinct(asked.requests)),
        tuple(distinct(others.requests)),
        notes=(
            *asked.notes,
            *notes_on(asked.requests, "facts to forget"),
            *note_on_neighbours(asked.requests),
            *others.notes,
            *notes_on(others.requests, "facts to retain"),
        ),
    )


def _facts(records: Sequence[Record], separator: str, declared: Collection[str]) -> Facts:
    requests, systems, wordy = [], [], []
    for record in records:
        row = unfolded(record, separator) if record.cells else record
        request = request_of(own_fields(row), declared)
        requests.append(worded_once(request))
        wordy += [row.where] if requests[-1] != request else []
        systems += [row.where] if system_message(row) else []
    notes = []
    if systems:
        notes.append(f"{_counted(systems)}: the system message is no part of a fact; model.system sets one")
    if wordy:
        notes.append(f"{_counted(wordy)}: a paraphrase or a probe is there twice, and counts once")
    return Facts(tuple(requests), tuple(notes))


def _counted(places: Sequence[str]) -> str:
    return f"{places[0]} and {len(places) - 1} others" if len(places) > 1 else places[0]


def _checked(request: Request, where: str) -> Request:
    """A request that was made in Python, once it is known that a tokenizer takes its texts."""
    record = Record({}, where)
    probes = [(name, probe) for name in PROBES for probe in getattr(request, name)]
    texts = [(name, getattr(request, name)) for name in ONE if getattr(request, name) is not None]
    texts += [(name, text) for name in TEXTS for text in getattr(request, name)]
    texts += [(name, text) for name, probe in probes for text in (probe.prompt, probe.answer, *probe.aliases)]
    for name, text in texts:
        if not isinstance(text, str):
            raise record.error(name, f"expected a text, got {described(text)}")
        record.checked(name, text)
    return request


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A data frame's row, without what pandas writes where there is nothing (NaN, which is not equal to itself)."""
    return {
        str(name): value for name, value in row.items() if not (isinstance(value, float) and value != value)
    }
