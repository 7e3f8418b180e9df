"""Errors that a user can act on, and the exit codes of every command.

Each message says what is wrong, where, and the way out. The command line prints the message of a `ZuError` without a
traceback and exits with its `exit_code`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum
from typing import ClassVar

CLOSE = 0.55  # how alike a name must be, of 1, to be offered instead


class ExitCode(IntEnum):
    """How a command ended; where several hold, the highest wins. `EXIT_MEANINGS` says it in words."""

    DONE = 0
    PART_FAILED = 1
    INPUT = 2
    DAMAGED = 3
    AUDIT_LIMIT = 4
    DEFECT = 70
    STOPPED = 130
    UNREAD = 141


EXIT_MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.PART_FAILED: "done, but an optional part could not be made: the page, `model/`, `adapter/`",
    ExitCode.INPUT: "something that you can mend, input or environment: one message says what",
    ExitCode.DAMAGED: "the model is damaged, or the guard stopped the edit",
    ExitCode.AUDIT_LIMIT: "an audit recovers more than was allowed",
    ExitCode.DEFECT: "a defect, ours or a plugin's: its traceback is shown",
    ExitCode.STOPPED: "stopped by Ctrl-C or SIGTERM: what was not finished is removed",
    ExitCode.UNREAD: "whoever read the output went away",
}


class ZuError(Exception):
    """Something the user can mend: a config key, a file, a model, a choice of component."""

    exit_code: ClassVar[ExitCode] = ExitCode.INPUT


class ConfigError(ZuError):
    """A config key is unknown, of the wrong type, out of range, or contradicts another.

    Args:
        option: The option that an options dataclass refuses: the message then names the line that set it. Without it,
            the line of the group.
    """

    def __init__(self, *message: object, option: str = "") -> None:
        super().__init__(*message)
        self.option = option


class NoSource(ConfigError):
    """The options of a background name nothing that could be read: the run goes on where something else serves."""


class DataError(ZuError):
    """A data file or one of its records cannot be used."""


class ModelError(ZuError):
    """A model folder, its tokenizer or one of its layers cannot be used."""


class PluginError(ZuError):
    """A plugin failed to load, or two plugins claim one name."""


class UnknownName(ZuError):
    """A component name that no plugin registered."""


class RunFolderError(ZuError):
    """A run folder, edit or undo record is missing, damaged, or belongs to another model."""


class ProcessError(ZuError):
    """The processes of a run cannot work together."""


class PeerError(ProcessError):
    """Another process of the run failed, and says why: this one ends with it, silently."""


class GuardError(ZuError):
    """The guard stopped an edit that would damage the model; what was written before is rolled back."""

    exit_code = ExitCode.DAMAGED


class SolverError(ZuError):
    """A solver refuses the problem it was given."""


class AuditError(ZuError):
    """An attack cannot be made on this model or these facts."""


class DependentRows(SolverError):
    """The output moment is singular: the rows of W are dependent (or W has more outputs than inputs)."""


class DependentKeys(SolverError):
    """The keys are linearly dependent where a solver needs them independent."""


class EmptyNullSpace(SolverError):
    """No direction of the background is weak enough for the null-space rule that was asked for."""


def described(cause: BaseException) -> str:
    """Return type and message of an exception on one line, whatever its `str` does."""
    try:
        said = " ".join(str(cause).split())
    except Exception as second:  # a stranger's exception may raise where it is asked what it is
        said = f"its message raises {type(second).__name__}"
    return f"{type(cause).__name__}: {said}".removesuffix(": ")


def did_you_mean(name: str, known: Iterable[str], also: Iterable[str] = (), most: int = 3) -> str:
    """Return the hint of a message about an unknown name. It stands here because config, data and registry share it.

    Args:
        name: What was given; neither case nor space around it matters.
        known: What would have been right.
        also: Offered besides, however far from the name.
        most: Names that are offered.

    Returns:
        "did you mean 'a' or 'b'? ", the closest first; "" where nothing is close.
    """
    folded = {one.casefold(): one for one in sorted(known)}
    near = get_close_matches(name.strip().casefold(), folded, n=most, cutoff=CLOSE)
    close = list(dict.fromkeys([*(folded[one] for one in near), *also]))[:most]
    return f"did you mean {' or '.join(map(repr, close))}? " if close else ""


def broken_link(path: str | os.PathLike[str]) -> str:
    """Return "a link to X, which is not there"; "" for any other path. It stands here because many rooms read files."""
    if os.path.islink(path) and not os.path.exists(path):
        return f"a link to {os.readlink(path)}, which is not there"
    return ""


def unknown_name(kind: str, name: str, known: Iterable[str], listing: str) -> UnknownName:
    """Return the error for a name that is not known.

    Args:
        kind: Of thing that was named.
        name: What was given.
        known: The names there are.
        listing: Says where all names can be seen.

    Returns:
        An `UnknownName` with close matches.
    """
    return UnknownName(f"unknown {kind} {name!r}: {did_you_mean(name, known)}{listing}")


@contextmanager
def in_stage(number: int) -> Iterator[None]:
    """Say of an error that it is about a further stage, by its place in `then`; 0 is the run's first stage."""
    try:
        yield
    except ZuError as cause:
        if not number:
            raise
        raise type(cause)(f"{cause} (in then.{number - 1})") from cause
