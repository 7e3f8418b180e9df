"""Reading data files: whatever is wrong with one is a `DataError` that names file, record and field."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zu_framework import ConfigError, DataError

T = TypeVar("T")

JSON_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number"}
JSON_NAMES |= {float: "a number", type(None): "null"}


@dataclass(frozen=True)
class Record:
    """An object of a data file. where: 'FILE, record 3'; prefix: the path of fields that leads here."""

    fields: Mapping[str, Any]
    where: str
    prefix: str = ""

    def error(self, name: str, what: str) -> DataError:
        """The error for the field `name` of this record."""
        return DataError(f"{self.where}, field '{self.prefix}{name}': {what}")

    def inside(self, name: str) -> Record:
        """The object under a field."""
        return Record(self._typed(name, dict), self.where, f"{self.prefix}{name}.")

    def text(self, name: str) -> str:
        """A text that is not blank."""
        return self._checked(name, self._typed(name, str))

    def text_or_none(self, name: str) -> str | None:
        """A text that is not blank, or None where the field is missing or null."""
        return None if self.fields.get(name) is None else self.text(name)

    def label(self, name: str, default: str) -> str:
        """An identifier: a text or a whole number."""
        value = self.fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.error(name, f"expected a text or a whole number, got {described(value)}")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, none of them blank."""
        for index, item in enumerate(values := self.items(name)):
            if not isinstance(item, str):
                raise self.error(f"{name}[{index}]", f"expected a text, got {described(item)}")
            self._checked(f"{name}[{index}]", item)
        return tuple(values)

    def texts_or_none(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where the field is missing or null."""
        return () if self.fields.get(name) is None else self.texts(name)

    def whole(self, name: str) -> int:
        """A whole number, also one written as a text."""
        value = self.fields.get(name)
        if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*", value):
            return int(value)
        if name in self.fields and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.error(name, f"expected a whole number, got {described(value)}")
        return self._typed(name, int)

    def objects(self, name: str) -> list[Record]:
        """A list of objects."""
        found = []
        for index, item in enumerate(self.items(name)):
            if not isinstance(item, dict):
                raise self.error(f"{name}[{index}]", f"expected an object, got {described(item)}")
            found.append(Record(item, self.where, f"{self.prefix}{name}[{index}]."))
        return found

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        return self._typed(name, list)

    def _typed(self, name: str, kind: type[T]) -> T:
        if name not in self.fields:
            raise self.error(
                name, f"missing; the record has: {', '.join(map(str, self.fields)) or 'nothing'}"
            )
        value = self.fields[name]
        if not isinstance(value, kind):
            raise self.error(name, f"expected {JSON_NAMES[kind]}, got {described(value)}")
        return value

    def _checked(self, name: str, value: str) -> str:
        if not value.strip():
            raise self.error(name, "is empty")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as cause:  # JSON's \ud83d without its other half: no tokenizer takes it
            raise self.error(
                name, f"character {cause.start} is half of a surrogate pair: mend the escape"
            ) from cause
        return value


def described(value: Any) -> str:
    """A JSON value, for a message."""
    shown = json.dumps(value, ensure_ascii=True, default=str)
    return f"{JSON_NAMES.get(type(value), type(value).__name__)} ({shown if len(shown) <= 40 else shown[:37] + '...'})"


def read_list(path: str, key: str) -> list[Record]:
    """The records of a JSON file that holds one list of objects; `key` is the option that named the file."""
    parsed = _parsed(_content(path, key), path)
    if not isinstance(parsed, list):
        raise DataError(f"{path}: expected a list of records, got {described(parsed)}")
    records = [_record(item, f"{path}, record {number}") for number, item in enumerate(parsed, 1)]
    return _some(records, path)


def read_records(path: str, key: str) -> list[Record]:
    """The records of a JSON file: one list of objects, or one object a line, as the file begins."""
    return (read_list if _content(path, key).lstrip().startswith("[") else read_lines)(path, key)


def read_csv(path: str, key: str, columns: Sequence[str] | None = None) -> list[Record]:
    """The rows of a csv file as records of texts; empty cells are missing fields. RFC 4180: cells may be quoted.

    columns: their names where the file has no first row for them.
    """
    records = []
    rows = csv.reader(io.StringIO(_content(path, key), newline=""), strict=True)
    try:
        names = list(columns) if columns else [name.strip() for name in next(rows, [])]
        if twice := {name for name in names if names.count(name) > 1}:
            raise DataError(f"{path}, line 1: two columns are called {min(twice)!r}")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}, line {rows.line_num}"
            if len(row) != len(names):
                raise DataError(
                    f"{where}: {len(row)} cells for {len(names)} columns; quote a text that holds a comma"
                )
            records.append(
                Record({n: cell for n, cell in zip(names, row, strict=True) if cell.strip()}, where)
            )
    except csv.Error as cause:
        raise DataError(f"{path}, line {rows.line_num}: not csv: {cause}") from cause
    return _some(records, path)


def first_row(path: str, key: str) -> list[str]:
    """The cells of a csv file's first row."""
    return next(csv.reader(io.StringIO(_content(path, key), newline="")), [])


def read_lines(path: str, key: str) -> list[Record]:
    """The records of a file with one JSON object a line; blank lines are skipped."""
    records = []
    # not splitlines(): U+2028 and its like are allowed inside JSON texts
    for number, line in enumerate(_content(path, key).split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            records.append(_record(_parsed(line, where), where))
    return _some(records, path)


def _content(path: str, key: str) -> str:
    if not path:
        raise ConfigError(
            f"{key} is empty: give the file that holds the records, for example {key}=facts.json"
        )
    file = Path(path).expanduser()
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as cause:
        raise DataError(f"{path}: not UTF-8 text (byte {cause.start}); save the file as UTF-8") from cause
    except IsADirectoryError as cause:
        raise DataError(f"{path}: is a folder; {key} names one file in it") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: no such file; {key} is relative to {Path.cwd()}") from cause
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror}") from cause


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        if "\n" in text and cause.msg == "Extra data":
            raise DataError(
                f"{where}: more than one JSON value; for one record a line use data.name=jsonl"
            ) from cause
        at = f"line {cause.lineno}, column {cause.colno}" if "\n" in text else f"column {cause.colno}"
        raise DataError(f"{where}: not JSON: {cause.msg} ({at})") from cause
    except (
        ValueError,
        RecursionError,
    ) as cause:  # a number of thousands of digits, thousands of nested lists
        raise DataError(f"{where}: not usable JSON: {cause}") from cause


def _record(item: Any, where: str) -> Record:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object, got {described(item)}")
    return Record(item, where)


def _some(records: list[Record], path: str) -> list[Record]:
    if not records:
        raise DataError(f"{path}: holds no record")
    return records
