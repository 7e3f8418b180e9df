"""Data files of any kind: which reader a file is for, and JSON in a list or an object a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from zu_framework.data.messages import described
from zu_framework.data.records import Record
from zu_framework.data.tables import read_csv, read_parquet, read_workbook
from zu_framework.data.text import parsed, raw_content, text_of
from zu_framework.errors import DataError
from zu_framework.problem.requests import stripped

Reader = Callable[[str, str, Collection[str]], list[Record]]


def read_file(path: str, key: str, known: Collection[str] = ()) -> list[Record]:
    """Return the records of a file, at least one.

    The ending says what it is: .json and .jsonl (a list of objects, an object a line, or one object), .csv and .tsv,
    .xlsx, .parquet. Under another ending the content decides.

    Args:
        path: The file.
        key: The option that gave the path, for messages.
        known: Names of columns, of which a table's first row must hold one.

    Returns:
        A record for each object or row.

    Raises:
        ConfigError: The path is empty, or the file needs the extra `tables`.
        DataError: The file is not there, or broken: file and line or record are named.
    """
    kind = Path(path).suffix.lower()
    return (READERS.get(kind) or _reader_of(path, key))(path, key, known)


def read_json(path: str, key: str, *, alone: bool = True) -> list[Record]:
    """Return the records of a JSON file: a list of objects, an object a line, or a single object.

    alone: whether a single object is a record; else the file is a set that is wrapped in something.
    """
    text = text_of(raw_content(path, key), path)
    if text.lstrip().startswith("["):
        items = parsed(text, path)
        records = [_record(item, f"{path}, record {number}") for number, item in enumerate(items, 1)]
    else:
        records = _lines(text, path)
        if len(records) == 1 and not alone:
            raise DataError(f"{path}: expected a list of records, or an object a line, got one object")
    if not records:
        raise DataError(f"{path}: holds no record")
    return records


def _lines(text: str, path: str) -> list[Record]:
    """An object a line; blank lines are skipped."""
    records: list[Record] = []
    # not splitlines(): U+2028 and its like are allowed inside JSON texts, and a bare "\r" is not
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if not stripped(line):
            continue
        where = f"{path}, line {number}"
        if not records and line.strip() == "{":  # one object over many lines
            return [_record(parsed(text, path), f"{path}, record 1")]
        records.append(_record(parsed(line, where), where))
    return records


def _record(item: Any, where: str) -> Record:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object, got {described(item)}")
    return Record(item, where)


def _reader_of(path: str, key: str) -> Reader:
    """The reader of a file whose name does not say what it is."""
    raw = raw_content(path, key)
    if raw.startswith(b"PAR1"):
        return READERS[".parquet"]
    if raw.startswith(b"PK\x03\x04"):
        return READERS[".xlsx"]
    begins = text_of(raw, path).lstrip()[:1]
    return READERS[".json" if begins in ("", "[", "{") else ".csv"]


def _json(path: str, key: str, known: Collection[str]) -> list[Record]:
    return read_json(path, key)


def _table(path: str, key: str, known: Collection[str]) -> list[Record]:
    return read_csv(path, key, known=known)


def _parquet(path: str, key: str, known: Collection[str]) -> list[Record]:
    return read_parquet(path, key)


READERS: dict[str, Reader] = {
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
    ".csv": _table,
    ".tsv": _table,
    ".xlsx": read_workbook,
    ".xlsm": read_workbook,
    ".parquet": _parquet,
}
