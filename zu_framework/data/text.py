"""From a file's bytes to its text, and from text to JSON values; both refuse with the cause and the way out."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

from zu_framework.data.messages import described, escaped
from zu_framework.errors import ConfigError, DataError, broken_link

LARGEST = 2**30  # bytes of a data file that is read whole

# what stands where the JSON parser stopped, and the way out
STOPPED_AT = {
    re.compile(r"'"): "quote texts by double quotes",
    re.compile(r"[\u2018-\u201f\u00ab\u00bb]"): 'quote texts by straight quotes, "',
    re.compile(r"//|#|/\*"): "JSON has no comments: take it out",
    re.compile(r"None|True|False"): "JSON writes null, true and false",
    re.compile(r"[}\]]"): "take out the comma before it",
    re.compile(r"\ufeff"): "a second byte order mark: take it out",
}
# the same, where a whole value stands before it
FOLLOWED_BY = {
    "{": "a second object follows: one a line, or all in a list",
    ",": "no comma between lines of one object each; in a list they stand in [ ]",
}
# what the parser says, and the way out
COMPLAINTS = {
    "Unterminated string": "a text ends on the line on which it begins: write \\n for a line break in it",
    "Invalid control character": "write \\n for a line break in a text, \\t for a tab",
    "Invalid \\escape": "write \\\\ for a backslash",
}

# how files begin that are no UTF-8 text
BEGINNINGS = {
    b"\xff\xfe\x00\x00": "UTF-32 text: save it as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32 text: save it as UTF-8",
    b"\xff\xfe": 'UTF-16 text (Excel\'s "Unicode text"): save it as UTF-8',
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"PK\x03\x04": "a zip archive or a workbook: unpack it, or name it .xlsx",
    b"\xd0\xcf\x11\xe0": "an Excel file of the old kind (.xls): save it as .xlsx or .csv",
    b"PAR1": "a Parquet table: name it .parquet",
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"%PDF": "a PDF: save the facts as .jsonl or .csv",
}


def path_of(path: str, key: str) -> Path:
    """Return a path of this machine, its `~` expanded.

    Args:
        path: As the user wrote it.
        key: The option that gave it, for messages.

    Returns:
        The path; whether something lies there is not asked.

    Raises:
        ConfigError: It is empty, holds a NUL, or names the home folder of a user who is not there.
    """
    if not path:
        raise ConfigError(
            f"{key} is empty: give the file that holds the records, for example {key}=facts.jsonl"
        )
    if "\0" in path:
        raise ConfigError(f"{key} '{escaped(path)}' is no path: it holds a NUL")
    try:
        return Path(path).expanduser()
    except RuntimeError as cause:
        raise ConfigError(f"{key} '{escaped(path)}' is no path: {cause}") from cause


def raw_content(path: str, key: str) -> bytes:
    """Return the bytes of a file.

    Args:
        path: As the user wrote it; `~` is the home folder.
        key: The option that gave it, for messages.

    Raises:
        ConfigError: The path is empty, or none.
        DataError: There is no such file, it cannot be read, or it has more than 1 GiB.
    """
    file = path_of(path, key)
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except IsADirectoryError as cause:
        raise DataError(f"{path}: is a folder; {key} names one file in it") from cause
    except FileNotFoundError as cause:
        what = broken_link(file) or "no such file"
        raise DataError(f"{path}: {what}; {key} is relative to {Path.cwd()}") from cause
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror}") from cause
    if len(raw) > LARGEST:
        raise DataError(f"{path}: holds more than {LARGEST // 2**20} MiB; give a smaller file of facts")
    return raw


def start_of(raw: bytes, path: str) -> bytes:
    """Return how a file of UTF-8 text begins, its byte order mark left out.

    Args:
        raw: Its first bytes, or all.
        path: The file, for messages.

    Raises:
        DataError: The bytes are something else; the message says what, and the way out.
    """
    for beginning, what in BEGINNINGS.items():
        if raw.startswith(beginning):
            raise DataError(f"{path}: not UTF-8 text but {what}")
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise DataError(f"{path}, line {line}: holds NUL bytes: binary, or UTF-16 text; save it as UTF-8")
    return raw.removeprefix(codecs.BOM_UTF8)


def text_of(raw: bytes, path: str) -> str:
    """Return UTF-8 text, its byte order mark left out. Raises `DataError` that says what the bytes are instead."""
    rest = start_of(raw, path)
    try:
        return rest.decode("utf-8")
    except UnicodeDecodeError as cause:
        line = rest.count(b"\n", 0, cause.start) + 1
        raise DataError(
            f"{path}, line {line}: not UTF-8 text (byte {cause.start}, 0x{rest[cause.start]:02x}); save it as UTF-8"
        ) from cause


def parsed(text: str, where: str) -> Any:
    """Return a JSON value. Raises `DataError` where the text is none, or two fields of an object have one name.

    Args:
        text: The JSON text.
        where: What messages call it.
    """
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _object(pairs, where))
    except json.JSONDecodeError as cause:
        at = f"line {cause.lineno}, column {cause.colno}" if "\n" in text else f"column {cause.colno}"
        raise DataError(f"{where}: not JSON: {cause.msg} ({at}){_way_out(cause)}") from cause
    except ValueError as cause:
        raise DataError(f"{where}: not usable JSON: a number of thousands of digits") from cause
    except RecursionError as cause:
        raise DataError(f"{where}: not usable JSON: lists or objects nested too deep") from cause


def _way_out(cause: json.JSONDecodeError) -> str:
    """How to mend what the parser stopped at; "" where that is not known."""
    for complaint, way_out in COMPLAINTS.items():
        if cause.msg.startswith(complaint):
            return f": {way_out}"
    before, rest = cause.doc[: cause.pos].rstrip(), cause.doc[cause.pos :].lstrip()
    if cause.msg == "Extra data":
        return f": {FOLLOWED_BY[rest[0]]}" if rest[0] in FOLLOWED_BY else ""
    for stop, way_out in STOPPED_AT.items():
        if stop.match(rest) and (rest[0] not in "}]" or before.endswith(",")):
            return f": {way_out}"
    return ""


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"{where}: field '{escaped(twice)}' stands twice: {described(found[twice])} is the last"
        )
    return found
