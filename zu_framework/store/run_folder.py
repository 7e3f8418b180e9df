"""A run folder appears whole or not at all: its name is reserved first, its content made beside it and renamed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zu_framework.config import Config
from zu_framework.errors import RunFolderError, broken_link
from zu_framework.files import (
    FOLDER_NAME,
    PATIENCE_SECONDS,
    Partial,
    held_partial,
    make_private,
    sweep,
    writing,
)
from zu_framework.files.syncing import sync_tree

PUBLISHED = ("model", "adapter")  # parts that are made to be given away: their modes follow the umask
MOST_NAMES = 10_000


@dataclass
class RunPlace:
    """Where a run writes, and where that will lie.

    Args:
        partial: To write into.
        final: What it becomes; once the block has ended, what it became.
        note: Why that is another name than the one reserved; "" where it is not.
    """

    partial: Path
    final: Path
    note: str = ""

    def __iter__(self) -> Iterator[Path]:
        """Both folders, to be unpacked."""
        return iter((self.partial, self.final))


def run_name(config: Config) -> str:
    """The folder's name: `output.name`, or the config's name and the time.

    Args:
        config: Of the run.

    Returns:
        A name without path separators.

    Raises:
        RunFolderError: `output.name` is no such name.
    """
    # a config is called after its file, whose name may hold anything
    of_config = re.sub(r"[^\w.+=-]+", "-", config.name).strip(".-") or "run"
    name = config.output.name or f"{of_config}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not FOLDER_NAME.fullmatch(name):
        raise RunFolderError(
            f"output.name {name!r}: use letters, digits, '.', '-' and '_' (no path separators)"
        )
    return name


def check_place(config: Config) -> None:
    """Check where a run would write, and write nothing.

    Args:
        config: Of the run.

    Raises:
        RunFolderError: The name is none or taken, or the folder cannot be written.
    """
    parent, name = Path(config.output.folder).expanduser(), run_name(config)
    if config.output.name is not None and os.path.lexists(parent / name):
        raise _taken(parent / name, "exists")
    above = next(folder for folder in (parent, *parent.absolute().parents) if os.path.lexists(folder))
    if not above.is_dir():
        raise _unwritable(parent, f"{above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise _unwritable(parent, "Permission denied")


def _taken(folder: Path, why: str) -> RunFolderError:
    return RunFolderError(f"run folder {str(folder)!r} {why}: choose another output.name, or remove it")


def _unwritable(folder: Path, why: str | None) -> RunFolderError:
    return RunFolderError(
        f"output.folder {str(folder)!r} cannot be written: {broken_link(folder) or why}; choose another with "
        "output.folder=..."
    )


@contextmanager
def run_folder(config: Config) -> Iterator[RunPlace]:
    """Reserve a run folder; when the block ends it appears, private, on any error nothing is left.

    What killed runs left in the same folder is removed. Something that appeared under the name meanwhile is never
    touched: the run then lands under the next free name, and says so.

    Args:
        config: Of the run.

    Yields:
        Where to write.

    Raises:
        RunFolderError: The name is taken, or the folder cannot be written, before anything is computed.
    """
    parent = Path(config.output.folder).expanduser()
    name = run_name(config)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        held, final = _reserved(parent, name, numbered=config.output.name is None)
        held.content.mkdir(mode=0o700)
    except OSError as cause:
        raise _unwritable(parent, cause.strerror) from cause
    place = RunPlace(held.content, final)
    try:
        with writing(final):
            yield place
            make_private(held.content, but=PUBLISHED)
            sync_tree(held.content)
            _appear(held, place)
    finally:
        held.remove()


def _reserved(parent: Path, name: str, *, numbered: bool) -> tuple[Partial, Path]:
    """The partial folder of the first free name; of the name alone where it was given."""
    for candidate in _names(name):
        final = parent / candidate
        taken = os.path.lexists(final)
        # a numbered name costs nothing: the next one is as good
        patience = 0.0 if numbered else PATIENCE_SECONDS
        held = None if taken else held_partial(parent, candidate, patience=patience)
        if held is not None and not os.path.lexists(final):
            return held, final
        if held is not None:  # it ended between the two looks
            held.remove()
        if not numbered:
            why = "exists" if taken or held is not None else "is being written by another run"
            raise _taken(final, why)
    raise RunFolderError(f"{parent}: {MOST_NAMES} run folders are called {name}: choose output.name")


def _appear(held: Partial, place: RunPlace) -> None:
    """Rename the partial folder to its name, or to the next free one where that is taken by now."""
    wanted = place.final
    for candidate in _names(wanted.name):
        try:
            held.become(wanted.with_name(candidate))
        except FileExistsError:
            continue
        place.final = wanted.with_name(candidate)
        if place.final != wanted:
            place.note = f"{wanted} appeared while this run was at work: it is kept as {place.final}"
        return
    raise RunFolderError(f"{wanted.parent}: no name is free for the run {wanted.name}")


def _names(name: str) -> Iterator[str]:
    yield name
    for number in range(2, MOST_NAMES):
        yield f"{name}-{number}"
