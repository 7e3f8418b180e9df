"""Reading the text that perplexity is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zu_framework.errors import DataError


def read_texts(path: str | Path) -> Iterator[str]:
    """Stream the documents of a UTF-8 text file, one a line; blank lines are skipped.

    Args:
        path: Of the file; `~` is expanded.

    Yields:
        A document, without white space around it.

    Raises:
        DataError: The file cannot be read; the message says the way out.
    """
    file = Path(path).expanduser()
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in lines:
                if text := line.strip():
                    yield text
    except UnicodeDecodeError as cause:
        raise DataError(f"{path}: not UTF-8 text; save the file as UTF-8") from cause
    except IsADirectoryError as cause:
        raise DataError(f"{path}: is a folder; give one text file, one document a line") from cause
    except FileNotFoundError as cause:
        raise DataError(f"{path}: no such text file; the path is relative to {Path.cwd()}") from cause
    except OSError as cause:
        raise DataError(f"{path}: cannot be read: {cause.strerror}") from cause
