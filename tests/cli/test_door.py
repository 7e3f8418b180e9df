"""Exit codes: the environment's faults are one message, a defect shows itself, signals leave nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zu_framework.cli.door import guarded
from zu_framework.cli.terminal import ready
from zu_framework.errors import EXIT_MEANINGS, ConfigError, ExitCode, GuardError, PeerError


def raising(error: BaseException) -> Callable[[], Any]:
    def command() -> None:
        raise error

    return command


class OutOfMemoryError(RuntimeError):
    """Named as torch's is, which is not imported here."""


class SafetensorError(Exception):
    """Named as the library's is."""


ENVIRONMENT = {
    "disk full": (
        OSError(errno.ENOSPC, "No space left on device", "runs/x"),
        "runs/x: No space left .*; free some",
    ),
    "read-only": (
        OSError(errno.EROFS, "Read-only file system", "runs"),
        "runs: Read-only .*; choose another folder",
    ),
    "not ours": (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
    "two paths": (
        OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"),
        "a, b: Invalid cross-device",
    ),
    "no path": (ConnectionError("cannot reach the hub"), "cannot reach the hub"),
    "no memory": (MemoryError(), "out of memory: lower model.batch_size"),
    "no memory on a GPU": (
        OutOfMemoryError("CUDA out of memory. Tried 2 GiB"),
        "Tried 2 GiB.*target.rows_per_pass",
    ),
    "no memory on a CPU": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 5 bytes"),
        "model.batch_tokens",
    ),
    "an extra is missing": (
        ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval"),
        r"No module named 'lm_eval': pip install 'zu-framework\[lm-eval\]'",
    ),
    "of a library": (
        SafetensorError("I/O error: No space left on device (os error 28)"),
        "No space left .* free some",
    ),
}


@pytest.mark.parametrize("case", ENVIRONMENT)
def test_a_fault_of_the_environment_is_one_message_and_code_2(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error, said = ENVIRONMENT[case]
    assert guarded(raising(error)) == ExitCode.INPUT == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    import re

    assert re.search(said, printed), printed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (GuardError("x"), 3),
        (PeerError("x"), 2),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 70),
        (AssertionError(), 70),
        (SystemExit("of a plugin"), 70),
        (RecursionError(), 70),
    ],
    ids=lambda value: str(value if isinstance(value, int) else type(value).__name__),
)
def test_each_kind_of_error_has_its_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    printed = capsys.readouterr().err
    assert ("Traceback" in printed) == (code == 70)
    assert ("report it" in printed) == (code == 70)


def test_the_code_of_a_command_is_its_answer() -> None:
    assert [guarded(lambda: None), guarded(lambda: ExitCode.PART_FAILED), guarded(lambda: 4)] == [0, 1, 4]
    assert set(EXIT_MEANINGS) == set(ExitCode)


def test_a_traceback_sends_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(raising(RuntimeError("\x1b[2J")))
    printed = capsys.readouterr().err
    assert "\x1b" not in printed and "\\x1b[2J" in printed


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ready():
        warnings.warn("take\x1b care", stacklevel=1)
    assert capsys.readouterr().err == "warning: take\\x1b care\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_half_written(number: signal.Signals, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "zu_framework",
        "run",
        "demo",
        "target.steps=2000",
        f"output.folder={tmp_path}",
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "targets" in line:
            break
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped" in err and "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if path.name != ".lock"]


def test_a_redirected_run_shows_a_line_a_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zu_framework.cli.progress import progress

    with progress() as report:
        report("load", 0, 0)
        report("background", 0, 0)
        for done in range(5):
            report("neutral \x1btargets", done, 5)
        report("load", 0, 0)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line.partition(" s  ")[2] for line in printed.err.splitlines()]
    assert lines == ["load", "background", "neutral \\x1btargets (5)"]
