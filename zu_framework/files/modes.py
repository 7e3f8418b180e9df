"""Who may read what we write: its owner alone, or whom the umask says."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(folder: Path, *, but: tuple[str, ...] = ()) -> None:
    """Let nobody but the owner read a folder: 0700, its files 0600.

    Args:
        folder: The folder; what is below it too.
        but: Names of entries of the folder that stay as they are.
    """
    folder.chmod(0o700)
    for entry in folder.iterdir():
        if entry.name not in but and not entry.is_symlink():
            make_private(entry) if entry.is_dir() else entry.chmod(0o600)


def set_modes(path: Path, *, private: bool) -> None:
    """Private, or by the umask: some writers make their files private whatever it says."""
    if private:
        make_private(path) if path.is_dir() else path.chmod(0o600)
        return
    probe = path.with_name(f"{path.name}.mode")
    os.close(os.open(probe, os.O_CREAT | os.O_WRONLY, 0o777))
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for root, folders, files in os.walk(path):
        for name in folders:
            Path(root, name).chmod(mode)
        for name in files:
            Path(root, name).chmod(mode & 0o666)
    path.chmod(mode if path.is_dir() else mode & 0o666)
