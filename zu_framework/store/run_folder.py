"""A run folder appears whole or not at all: everything is written beside it and renamed at the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zu_framework.config import Config
from zu_framework.errors import RunFolderError

_PARTIAL = ".partial-"


def run_name(config: Config) -> str:
    """The folder's name: `output.name`, or the config's name and the time."""
    name = config.output.name or f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not re.fullmatch(r"[\w][\w.+=-]*", name):
        raise RunFolderError(
            f"output.name {name!r}: use letters, digits, '.', '-' and '_' (no path separators)"
        )
    return name


@contextmanager
def run_folder(config: Config) -> Iterator[tuple[Path, Path]]:
    """Yield (partial, final): write into `partial`; when the block ends it becomes `final`, on any error it is removed.

    Raises `RunFolderError` before anything is computed where the folder exists or cannot be written.
    """
    parent = Path(config.output.folder)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        final = _free_name(parent, config)
        partial = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{os.getpid()}-", dir=parent))
    except OSError as cause:
        raise RunFolderError(
            f"output.folder {str(parent)!r} cannot be written: {cause.strerror}; choose another with output.folder=..."
        ) from cause
    try:
        yield partial, final
        partial.chmod(0o755)  # mkdtemp makes it private
        try:
            os.rename(partial, final)
        except OSError as cause:
            raise RunFolderError(f"run folder {final} appeared meanwhile: {cause.strerror}") from cause
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read; NaN is refused rather than written."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _free_name(parent: Path, config: Config) -> Path:
    name = run_name(config)
    final = parent / name
    if config.output.name is None:
        number = 2
        while final.exists():  # two runs in one second
            final = parent / f"{name}-{number}"
            number += 1
    elif final.exists():
        raise RunFolderError(f"run folder {str(final)!r} exists: choose another output.name, or remove it")
    return final


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed runs of this machine left behind."""
    for left in parent.glob(f"{_PARTIAL}*"):
        owner = left.name.removeprefix(_PARTIAL).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
