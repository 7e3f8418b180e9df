"""The outermost door: whatever a command raises becomes one message and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from zu_framework.cli.terminal import say
from zu_framework.errors import ExitCode, PeerError, ZuError

# typer carries a click of its own, or uses the one that is installed: the base of what it raises is asked of typer
UsageProblem: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

STOPPED = "stopped; the model and the run folder are as they were"
MEMORY = (
    "lower model.batch_size, model.batch_tokens or target.rows_per_pass, load half precision "
    "(model.dtype=bfloat16), or spread the layers over devices (model.device_map=auto)"
)


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code; errors are one message on stderr, a defect shows its traceback.

    Args:
        command: Returns an exit code, or None for 0.
    """
    try:
        with _sigterm_is_ctrl_c():
            code = int(command() or 0)
            if sys.stdout is not None:  # None: it was closed before the command began
                sys.stdout.flush()
    except PeerError as error:  # the process that failed says why
        return error.exit_code
    except ZuError as error:
        say(f"error: {error}")
        return error.exit_code
    except typer.Exit as done:
        code = done.exit_code
    except UsageProblem as error:
        say(_usage(error))
        return ExitCode.INPUT
    except (typer.Abort, KeyboardInterrupt):
        code = ExitCode.STOPPED
    except BaseException as error:
        return _unforeseen(error)
    if code == ExitCode.STOPPED:
        say(STOPPED)
    return code


def _unforeseen(error: BaseException) -> ExitCode:
    """Say what no room of ours foresaw: the environment's fault in a sentence, a defect with its traceback."""
    if _unread(error):
        _leave_quietly()
        return ExitCode.UNREAD
    environment = _environment(error)
    if environment:
        say(f"error: {environment}")
        return ExitCode.INPUT
    say("".join(traceback.format_exception(error)).rstrip())
    say("this is a defect of zu_framework or of a plugin: please report it with the lines above")
    return ExitCode.DEFECT


def _environment(error: BaseException) -> str:
    """What the machine lacks; '' where the error is a defect."""
    from zu_framework.files import WAYS_OUT, disk_fault
    from zu_framework.registry.extras import missing_extra

    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or _names_memory(error, text):
        return f"out of memory{f' ({text[:200]})' if text else ''}: {MEMORY}"
    if isinstance(error, OSError):
        paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
        text = ": ".join([*([", ".join(paths)] if paths else []), error.strerror or text])
    elif extra := missing_extra(error):
        return f"{text}: {extra}"
    code = disk_fault(error)
    if code is None and not isinstance(error, OSError):
        return ""
    way_out = WAYS_OUT.get(code or 0, "")
    return f"{text}{f'; {way_out}' if way_out else ''}"


def _names_memory(error: BaseException, text: str) -> bool:
    words = ("out of memory", "can't allocate memory", "not enough memory")
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, without importing it here
    return named or (isinstance(error, RuntimeError) and any(word in text.lower() for word in words))


def _unread(error: BaseException) -> bool:
    """Whether the reader of our output went away; typer and rich turn that into SystemExit."""
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(cause, BrokenPipeError) for cause in causes)


def _leave_quietly() -> None:
    """Give Python's last flush somewhere to go."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _usage(error: Any) -> str:
    """What typer says of a wrong command line, without colours."""
    context = getattr(error, "ctx", None)
    usage = [context.get_usage()] if context is not None else []
    hint = f"Try '{context.command_path} --help' for help." if context is not None else ""
    return "\n".join([*usage, *([hint, ""] if hint else []), f"Error: {error.format_message()}"])


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Stop on SIGTERM as on Ctrl-C: everything half-written is removed on the way out."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread, where no handler can be set
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
