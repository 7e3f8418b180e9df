"""Waiting until a disk holds what was written, so that it survives a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def sync_tree(folder: Path) -> None:
    """Wait until the disk holds every file of a folder.

    Args:
        folder: The folder; what is below it too.
    """
    for root, _, files in os.walk(folder):
        for name in files:
            sync(Path(root, name))
        sync(Path(root))


def sync(path: Path) -> None:
    """Ask the disk to hold a file or a folder's list; where it cannot, nothing is lost but certainty."""
    with suppress(OSError):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
