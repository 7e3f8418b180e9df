"""The command line, called in this process."""

from __future__ import annotations

import pytest

from zu_framework.cli import main


def zu(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one command; returns its exit code, stdout and stderr."""
    code: object = 0
    try:
        main(list(arguments))
    except SystemExit as stopped:
        code = stopped.code or 0
    printed = capsys.readouterr()
    assert isinstance(code, int)
    return code, printed.out, printed.err
