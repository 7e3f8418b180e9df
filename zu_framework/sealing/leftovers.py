"""Files that are to go for good, and this run's entries of the cache."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from zu_framework.errors import RunFolderError
from zu_framework.store.audits import LOG as AUDIT_LOG
from zu_framework.store.cache import cache_folder
from zu_framework.store.journal import LOG
from zu_framework.store.sharing import EVENTS

BLOCK = 1 << 20


def destroy(path: Path) -> bool:
    """Overwrite a file and remove it; a link is removed, what it leads to is not touched.

    Args:
        path: The file; nothing happens where it does not exist.

    Returns:
        False where another hard link keeps what it held: that is not ours to overwrite.

    Raises:
        OSError: It cannot be removed.
    """
    if not os.path.lexists(path):
        return True
    alone = path.is_symlink() or path.stat().st_nlink == 1
    if alone and not path.is_symlink():
        with path.open("r+b") as file:
            left = file.seek(0, os.SEEK_END)
            file.seek(0)
            while left:
                left -= file.write(bytes(min(BLOCK, left)))
            file.flush()
            os.fsync(file.fileno())
    path.unlink()
    return alone


def remove_empty(folder: Path) -> None:
    """Remove the folders below a folder that hold nothing.

    Args:
        folder: It stays itself.
    """
    for root, _, _ in os.walk(folder, topdown=False):
        if Path(root) != folder:
            with suppress(OSError):  # it holds something
                os.rmdir(root)


def cached_targets(run: Path) -> list[Path]:
    """Find the entries of the cache that the logs of a run and of its audit say they made or read.

    Args:
        run: The run folder.

    Returns:
        Their files, which may be gone, or lie in another cache.

    Raises:
        RunFolderError: A log is there and cannot be read: what it names would be left behind.
    """
    lines: list[str] = []
    for log in (run / LOG, run / "audit" / AUDIT_LOG):
        try:
            lines += log.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as cause:
            raise RunFolderError(
                f"{log} cannot be read ({cause.strerror}): mend that, and seal again"
            ) from cause
    found = []
    for line in lines:
        with suppress(ValueError, AttributeError, TypeError, RecursionError):
            event = json.loads(line)
            kind, key = event.get("kind"), event.get("key")
            if (
                event.get("event") in EVENTS
                and re.fullmatch(r"[\w-]+", kind)
                and re.fullmatch(r"[0-9a-f]+", key)
            ):
                found.append(cache_folder() / kind / f"{key}.safetensors")
    return list(dict.fromkeys(found))
