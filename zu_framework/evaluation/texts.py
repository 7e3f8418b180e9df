"""General text: what metrics read of it, and what is left to take moments of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from zu_framework.data import path_of, read_documents
from zu_framework.problem import DataSplit

Documents = Callable[[], Iterable[str]]
"""Streams texts afresh on each call."""

# every tenth document of the background is held out for the metrics that read text, where nothing else serves them
HELD_OUT_EVERY = 10


def read_texts(path: str | Path) -> Iterator[str]:
    """Stream the documents of a text file, one a line, or of .jsonl, whose objects hold a `text`; no blank ones.

    Args:
        path: Of the file; `~` is expanded.

    Returns:
        An iterator over the documents, which raises `DataError` with file and line where one cannot be read.
    """
    return read_documents(path_of(str(path), "evaluate.text"))


def held_out(
    documents: Documents, split: DataSplit, limit: int, *, wanted: bool
) -> tuple[Documents, DataSplit]:
    """Part what metrics read from what the moments are taken of.

    Args:
        documents: All of the background.
        split: Its held-out texts serve, where it has any.
        limit: Texts that metrics read at most.
        wanted: Whether any metric reads text.

    Returns:
        What is left of the documents, and the split with its held-out texts.
    """
    if split.heldout_texts or not wanted:
        return documents, replace(split, heldout_texts=split.heldout_texts[:limit])
    held = islice((text for n, text in enumerate(documents()) if _is_held(n)), limit)
    split = replace(split, heldout_texts=tuple(held))
    return lambda: (text for n, text in enumerate(documents()) if not _is_held(n)), split


def _is_held(number: int) -> bool:
    return number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
