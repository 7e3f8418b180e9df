"""Errors that a user can act on: each message says what is wrong, where, and the way out.

The command line prints the message of a `ZuError` without a traceback and exits with code 2; any other exception
is a defect of ours (or of a plugin) and exits with code 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class ZuError(Exception):
    """Something the user can mend: a config key, a file, a model, a choice of component."""


class ConfigError(ZuError):
    """A config key is unknown, of the wrong type, out of range, or contradicts another."""


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


def unknown_name(kind: str, name: str, known: Iterable[str], listing: str) -> UnknownName:
    """An `UnknownName` with close matches; `listing` says where all names can be seen."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return UnknownName(f"unknown {kind} {name!r}: {hint}{listing}")


@contextmanager
def in_stage(number: int) -> Iterator[None]:
    """Say of an error that it is about a further stage, by its place in `then`; 0 is the run's first stage."""
    try:
        yield
    except ZuError as cause:
        if not number:
            raise
        raise type(cause)(f"{cause} (in then.{number - 1})") from cause
