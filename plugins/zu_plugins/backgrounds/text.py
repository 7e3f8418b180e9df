"""Streams documents, one at a time, whatever the size of the corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from zu_framework import ConfigError, DataError
from zu_plugins.backgrounds.options import TextOptions

SUFFIXES = (".txt", ".jsonl")


def documents(options: TextOptions) -> Iterator[str]:
    """At most `options.documents` documents of general text, blank ones left out.

    Raises `ConfigError` where no source is given, `DataError` with file and line where one cannot be read. Both are
    raised at the call, before anything is streamed.
    """
    if options.dataset:
        stream = _from_hub(options)
    elif options.path:
        stream = _from_files(_files(Path(options.path).expanduser()), options.field)
    else:
        raise ConfigError(
            "background.path is empty: give a text file (background.path=wiki.txt) or a data set of the hub "
            "(background.dataset=wikitext:wikitext-103-raw-v1)"
        )
    return _some(islice((text for text in stream if text.strip()), options.documents), options)


def _some(stream: Iterator[str], options: TextOptions) -> Iterator[str]:
    empty = True
    for text in stream:
        empty = False
        yield text
    if empty:
        raise DataError(
            f"{options.dataset or options.path}: holds no text: give at least one document that is not blank"
        )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES)
        if not found:
            raise DataError(f"{path}: the folder holds no {' or '.join(SUFFIXES)} file")
        return found
    if not path.is_file():
        raise DataError(f"{path}: no such text file; the path is relative to {Path.cwd()}")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: unknown kind of file; use {' or '.join(SUFFIXES)}")
    return [path]


def _from_files(files: list[Path], key: str) -> Iterator[str]:
    for file in files:
        try:
            with file.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.strip():
                        continue
                    yield (
                        _text_of(line, key, f"{file}, line {number}")
                        if file.suffix == ".jsonl"
                        else line.strip()
                    )
        except UnicodeDecodeError as cause:
            raise DataError(f"{file}: not UTF-8 text; save the file as UTF-8") from cause
        except OSError as cause:
            raise DataError(f"{file}: cannot be read: {cause.strerror}") from cause


def _text_of(line: str, key: str, where: str) -> str:
    try:
        record: Any = json.loads(line)
    except json.JSONDecodeError as cause:
        raise DataError(f"{where}: not JSON: {cause.msg} at column {cause.colno}") from cause
    if not isinstance(record, dict) or not isinstance(record.get(key), str):
        held = ", ".join(map(str, record)) if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{where}, field {key!r}: expected a text; the line has: {held or 'nothing'}")
    return str(record[key])


def _from_hub(options: TextOptions) -> Iterator[str]:
    try:
        from datasets import load_dataset
    except ImportError as cause:
        raise ConfigError(
            "background.dataset needs the package datasets: pip install 'zu_framework[hub]', or use background.path"
        ) from cause
    name, _, part = options.dataset.partition(":")
    try:
        rows = load_dataset(name, part or None, split=options.split, streaming=True)
    except Exception as cause:  # the hub's own errors are many, and share no base
        raise DataError(f"data set {options.dataset!r} cannot be opened: {cause}") from cause
    return _hub_texts(rows, options)


def _hub_texts(rows: Any, options: TextOptions) -> Iterator[str]:
    for row in rows:
        if not isinstance(row.get(options.field), str):
            held = ", ".join(map(str, row))
            raise DataError(
                f"data set {options.dataset!r}: field {options.field!r} is no text; it has: {held}"
            )
        yield row[options.field]
