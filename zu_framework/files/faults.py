"""The faults of a disk as errors that a user can act on: full, read-only, not ours."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zu_framework.errors import RunFolderError, ZuError

WAYS_OUT = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EFBIG: "choose a folder on another disk",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk reports an error: choose a folder on another disk",
}
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@contextmanager
def writing(path: Path, error: type[ZuError] = RunFolderError) -> Iterator[None]:
    """Turn the faults of a disk into an error that names the path and the way out; others pass.

    Args:
        path: What is being written.
        error: The kind of error to raise.

    Yields:
        Nothing.

    Raises:
        ZuError: The disk is full, read-only, or not ours.
    """
    try:
        yield
    except Exception as cause:  # safetensors tells the disk's faults in words, as an error of its own
        code = disk_fault(cause)
        if code is None or not (code in _OF_THE_DISK or _about(cause, path)):
            raise
        way = WAYS_OUT.get(code, "choose another folder")
        raise error(f"{path}: cannot be written: {os.strerror(code)}; {way}") from cause


def disk_fault(cause: BaseException) -> int | None:
    """Find the system's error number behind an exception.

    Args:
        cause: What was raised.

    Returns:
        The number, or None where the exception is no fault of a disk.
    """
    if isinstance(cause, OSError):
        return cause.errno
    found = (
        re.search(r"\(os error (\d+)\)", str(cause)) if type(cause).__name__ == "SafetensorError" else None
    )
    return int(found.group(1)) if found else None


def _about(cause: BaseException, path: Path) -> bool:
    """Whether an error names the path, what lies beside or below it, or a folder above it."""
    named = getattr(cause, "filename", None)
    if not isinstance(named, str | os.PathLike):
        return False
    found, wanted = Path(os.path.abspath(named)), Path(os.path.abspath(path))
    return found.is_relative_to(wanted.parent) or wanted.is_relative_to(found)
