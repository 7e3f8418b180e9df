"""Reading held-out text, for the metrics that want any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zu_framework.data import path_of, read_documents


def read_texts(path: str | Path) -> Iterator[str]:
    """Stream the documents of a text file, one a line, or of .jsonl, whose objects hold a `text`; no blank ones.

    Args:
        path: Of the file; `~` is expanded.

    Returns:
        An iterator over the documents, which raises `DataError` with file and line where one cannot be read.
    """
    return read_documents(path_of(str(path), "evaluate.text"))
