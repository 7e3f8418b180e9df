"""What this process prints: nothing of the data steers the terminal, and no encoding is too small."""

from __future__ import annotations

import io
import json
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from zu_framework.printable import printable


def say(message: str) -> None:
    """Print one message on stderr; a log on a full disk costs no run."""
    try:
        print(printable(message), file=sys.stderr, flush=True)
    except BrokenPipeError:  # whoever read us went away, which the door tells by its exit code
        raise
    except OSError:
        return


def tell(result: str) -> None:
    """Print one line of a result on stdout."""
    print(printable(result))


def json_text(value: Any) -> str:
    """Return JSON that people can read, in ASCII: it steers no terminal, and every encoding holds it."""
    return json.dumps(value, indent=2, default=str)


def command(*words: object) -> str:
    """Return a command as the shell takes it."""
    return shlex.join(map(str, words))


@contextmanager
def ready() -> Iterator[None]:
    """Let stdout and stderr take every character, and let Python's warnings be one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = _one_line
        yield


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    say(f"warning: {message}")
