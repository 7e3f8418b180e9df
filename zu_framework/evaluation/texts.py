"""Reading the text that perplexity is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zu_framework.errors import DataError


def read_texts(path: str | Path) -> Iterator[str]:
    """The documents of a UTF-8 text file, one a line, streamed; blank lines are skipped.

    Raises `DataError`, naming the file and the way out, where it cannot be read.
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
