"""General text in files, streamed: a document a line, whatever the size of a line."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zu_framework.data.messages import described, listed
from zu_framework.data.records import unusable
from zu_framework.data.text import parsed, start_of
from zu_framework.errors import DataError, broken_link

LONGEST = 2**22  # bytes of a line that are read: a million tokens, and no more memory whatever the line holds
LONGEST_ESCAPE = 13  # characters of \\ud83d\\ude00, the longest escape of one character, and one more
_SPACE = " \t\r\n"


def read_documents(file: Path, field: str = "text") -> Iterator[str]:
    """Stream the documents of a file, one a line, blank ones left out.

    Of a line of more than 4 MiB the first 4 are read.

    Args:
        file: A .jsonl file, whose lines are objects that hold a text; any other is plain UTF-8 text.
        field: The key of that text.

    Yields:
        A document, without white space around it where the file is plain text.

    Raises:
        DataError: The file cannot be read, or a line is broken: file and line are named.
    """
    try:
        with file.open("rb") as opened:
            for number, line, whole in _lines(opened, file):
                if not line.strip():
                    continue
                where = f"{file}, line {number}"
                text = _text_in(line, whole, field, where) if file.suffix == ".jsonl" else line.strip()
                if text.strip():
                    yield text
    except IsADirectoryError as cause:
        raise DataError(f"{file}: is a folder; give one text file, one document a line") from cause
    except FileNotFoundError as cause:
        what = broken_link(file) or "no such text file"
        raise DataError(f"{file}: {what}; the path is relative to {Path.cwd()}") from cause
    except OSError as cause:
        raise DataError(f"{file}: cannot be read: {cause.strerror}") from cause


def _lines(opened: BinaryIO, file: Path) -> Iterator[tuple[int, str, bool]]:
    """Number, text and wholeness of each line."""
    number = 0
    while raw := opened.readline(LONGEST):
        number += 1
        whole = raw.endswith(b"\n") or len(raw) < LONGEST
        if number == 1:
            raw = start_of(raw, str(file))
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(raw, final=whole)
        except UnicodeDecodeError as cause:
            raise DataError(f"{file}, line {number}: not UTF-8 text; save the file as UTF-8") from cause
        yield number, text, whole
        while not whole:  # what follows is passed over, in pieces
            rest = opened.readline(LONGEST)
            whole = rest.endswith(b"\n") or len(rest) < LONGEST


def _text_in(line: str, whole: bool, field: str, where: str) -> str:
    """The text under a key of a JSON object; of an object that is cut off, as far as it goes."""
    record = parsed(line, where) if whole else _begun(line, field, where)
    if not isinstance(record, dict) or not isinstance(record.get(field), str):
        held = listed(record) if isinstance(record, dict) else described(record)
        raise DataError(f"{where}, field {field!r}: expected a text; the line has: {held}")
    text = str(record[field])
    if fault := unusable(text.replace("\0", " ")):
        raise DataError(f"{where}, field {field!r}: {fault}")
    return text


def _begun(line: str, field: str, where: str) -> dict[str, object]:
    """The members of an object whose end is cut off, up to the text under `field`, which may be cut off itself."""
    found: dict[str, object] = {}
    read = json.JSONDecoder().raw_decode
    at = _after(line, 0, "{", where)
    try:
        while True:
            key, at = read(line, _after(line, at, '"', where) - 1)
            at = _after(line, at, ":", where)
            at += len(line[at:]) - len(line[at:].lstrip(_SPACE))
            if key == field and line.startswith('"', at):
                return {**found, field: _cut_text(line[at:])}
            found[key], at = read(line, at)
            at = _after(line, at, ",", where)
    except (ValueError, RecursionError) as cause:
        raise DataError(f"{where}: no text under {field!r} in the first {LONGEST // 2**20} MiB") from cause


def _cut_text(line: str) -> str:
    """A JSON text at the beginning of a line; one without an end is read up to its last whole character."""
    read = json.JSONDecoder().raw_decode
    try:
        return str(read(line)[0])
    except ValueError:
        for end in range(len(line), max(1, len(line) - LONGEST_ESCAPE), -1):
            try:
                text, last = read(f'{line[:end]}"')
            except ValueError:
                continue
            if last == end + 1 and not unusable(text):
                return str(text)
        raise


def _after(line: str, at: int, wanted: str, where: str) -> int:
    """One past a character that must come next, white space aside."""
    rest = line[at : at + 1000].lstrip(_SPACE)
    if not rest.startswith(wanted):
        raise DataError(f"{where}: not JSON: expected {wanted!r} at column {at + 1}")
    return at + len(line[at : at + 1000]) - len(rest) + 1
