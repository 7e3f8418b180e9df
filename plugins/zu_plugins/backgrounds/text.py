"""Streams documents, one at a time, whatever the size of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from zu_framework import ConfigError, DataError, NoSource
from zu_framework.data import path_of, read_documents
from zu_plugins.backgrounds.options import TextOptions

SUFFIXES = (".txt", ".jsonl")


def documents(options: TextOptions) -> Iterator[str]:
    """At most `options.documents` documents of general text, blank ones left out.

    Raises `NoSource` where no source is given, `DataError` with file and line where one cannot be read. Files are
    read through once at the call, before anything is streamed: a broken line is met before any work.
    """
    if options.dataset:
        stream = _from_hub(options)
    elif options.path:
        stream = _from_files(options)
    else:
        raise NoSource(
            "background.path is empty: give a text file (background.path=wiki.txt) or a data set of the hub "
            "(background.dataset=wikitext:wikitext-103-raw-v1)"
        )
    return islice(stream, options.documents)


def _from_files(options: TextOptions) -> Iterator[str]:
    files = _files(path_of(options.path, "background.path"))
    about = tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    if not _read_through(about, options.field, options.documents):
        raise DataError(f"{options.path}: holds no text: give at least one document that is not blank")
    return chain.from_iterable(read_documents(file, options.field) for file in files)


@lru_cache(maxsize=16)
def _read_through(files: tuple[tuple[Path, int, int], ...], field: str, limit: int) -> int:
    """How many documents files of this size and time hold, each of them read; once a process."""
    texts = chain.from_iterable(read_documents(file, field) for file, _, _ in files)
    return sum(1 for _ in islice(texts, limit))


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
    empty = True
    for row in rows:
        if not isinstance(row.get(options.field), str):
            raise DataError(
                f"data set {options.dataset!r}: field {options.field!r} is no text; it has: {', '.join(map(str, row))}"
            )
        if row[options.field].strip():
            empty = False
            yield row[options.field]
    if empty:
        raise DataError(f"{options.dataset}: holds no text: give at least one document that is not blank")
