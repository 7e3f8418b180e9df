"""A file or folder appears whole or not at all: it is made in a partial folder beside its place, and renamed.

Whoever makes something holds a lock on a file of its partial folder. A partial folder whose lock can be taken was left
behind by a killed process, be it before it had a lock: the next writer beside it removes it. What cannot be locked is
somebody's work. A maker whose new folder a sweeper was quicker to lock makes it again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zu_framework.errors import RunFolderError, ZuError
from zu_framework.files.faults import writing
from zu_framework.files.modes import set_modes
from zu_framework.files.syncing import sync, sync_tree

MARK = ".zu-partial"
LOCK, CONTENT = "lock", "content"
FOLDER_NAME = re.compile(r"\w[\w.+=-]*")  # one that leads out of no folder and hides nothing
PATIENCE_SECONDS = 1.0  # a name may be held by a sweeper, for as long as it takes to remove a folder
PAUSE_SECONDS = 0.01
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)  # file systems that know none


class Partial:
    """A partial folder that this process holds; `content` is what will be renamed."""

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder, self._lock = folder, lock
        self.content = folder / CONTENT

    def become(self, place: Path) -> None:
        """Rename the content to its place.

        Args:
            place: Where it goes, in the folder that holds the partial one.

        Raises:
            FileExistsError: Something lies there, be it a link that leads nowhere; the content stays where it is.
        """
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
        try:
            os.rename(self.content, place)
        except OSError as cause:
            if cause.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and os.path.lexists(place):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from cause
            raise
        sync(place.parent)

    def remove(self) -> None:
        """Remove the partial folder with all that is in it, then let go of it."""
        try:
            shutil.rmtree(self.folder)
        except FileNotFoundError:
            pass
        except OSError:  # an open lock file cannot be removed everywhere
            self._lock.release()
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            # not removed after this: the name may be another's by now
            self._lock.release()


def held_partial(parent: Path, name: str, *, patience: float = PATIENCE_SECONDS) -> Partial | None:
    """Make the partial folder of a name, and hold it: nobody else can while we do.

    Args:
        parent: The folder in which something will appear.
        name: What it will be called.
        patience: Seconds to wait for another holder.

    Returns:
        The partial folder, or None where another process holds it.

    Raises:
        OSError: It cannot be made.
    """
    folder = parent / f".{name}{MARK}"
    end = time.monotonic() + patience
    while True:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not _removed_where_abandoned(folder):
                if time.monotonic() >= end:
                    return None
                time.sleep(PAUSE_SECONDS)
            continue
        lock = _lock(folder)
        try:
            lock.acquire(timeout=0)
            folder.chmod(0o700)  # filelock makes a folder that a sweeper took away
        except (Timeout, FileNotFoundError):  # a sweeper came between
            lock.release()
            continue
        except (OSError, NotImplementedError) as cause:
            if isinstance(cause, OSError) and cause.errno not in _WITHOUT_LOCKS:
                raise
            # nobody can lock here, so nobody sweeps
        return Partial(folder, lock)


def sweep(parent: Path) -> None:
    """Remove the partial folders that killed processes left in a folder.

    Args:
        parent: Where to look; nothing happens where it does not exist.
    """
    with suppress(OSError):
        for folder in list(parent.glob(f".*{MARK}")):
            _removed_where_abandoned(folder)


@contextmanager
def whole_file(path: Path, *, private: bool = False, durable: bool = True) -> Iterator[Path]:
    """Yield a path to write to; when the block ends, what was written replaces `path`, else nothing happens.

    Args:
        path: The file that is to appear.
        private: Readable by its owner alone, whatever the umask.
        durable: Wait until the disk holds it, so that it survives a power cut.

    Yields:
        The temporary path, on the same file system.

    Raises:
        RunFolderError: The file cannot be written.
    """
    with writing(path):
        partial = held_partial(path.parent, f"{path.name}-{secrets.token_hex(4)}")
        if partial is None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        try:
            yield partial.content
            set_modes(partial.content, private=private)
            if durable:
                sync(partial.content)
            os.replace(partial.content, path)
            if durable:
                sync(path.parent)
        finally:
            partial.remove()


@contextmanager
def whole_folder(
    folder: Path, *, private: bool = False, error: type[ZuError] = RunFolderError
) -> Iterator[Path]:
    """Yield a folder to write into; when the block ends it becomes `folder`, on any error it is removed.

    Args:
        folder: The folder that is to appear; its parents are made.
        private: Readable by its owner alone, whatever the umask; else modes follow the umask.
        error: The kind of error to raise.

    Yields:
        The temporary folder, empty, on the same file system.

    Raises:
        ZuError: The folder exists, is being written by another process, or cannot be written.
    """
    with writing(folder, error):
        _refuse_existing(folder, error)
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        partial = held_partial(folder.parent, folder.name)
        if partial is None:
            raise error(
                f"{folder} is being written by another process: wait for it, or choose another folder"
            )
        try:
            partial.content.mkdir()
            yield partial.content
            set_modes(partial.content, private=private)
            sync_tree(partial.content)
            try:
                partial.become(folder)
            except FileExistsError:
                _refuse_existing(folder, error)
                raise
        finally:
            partial.remove()


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a text file that appears whole or not at all.

    Args:
        path: The file; replaced where it exists.
        text: What it will hold, as UTF-8.
        private: Readable by its owner alone, whatever the umask.

    Raises:
        RunFolderError: The file cannot be written.
    """
    with whole_file(path, private=private) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Write JSON that people can read; NaN is refused rather than written.

    Args:
        path: The file; replaced where it exists.
        value: What it will hold.
        private: Readable by its owner alone, whatever the umask.

    Raises:
        RunFolderError: The file cannot be written.
    """
    write_text(path, as_json(value), private=private)


def as_json(value: Any) -> str:
    """Return the text that `write_json` writes.

    Args:
        value: What JSON can hold; NaN is refused.

    Returns:
        Lines, the last one ended.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _refuse_existing(folder: Path, error: type[ZuError]) -> None:
    if folder.is_symlink() and not folder.exists():
        raise error(f"{folder} is a link that leads nowhere: choose another folder, or remove it")
    if folder.exists():
        raise error(f"{folder} exists: choose another folder, or remove it")


def _removed_where_abandoned(folder: Path) -> bool:
    """Remove a partial folder that nobody holds; False where somebody does."""
    lock = _lock(folder)
    try:
        folder.stat()  # filelock would make it
        lock.acquire(timeout=0)
    except FileNotFoundError:
        return True
    # held, or a file system without locks: not ours to remove
    except (Timeout, OSError, NotImplementedError):
        return False
    Partial(folder, lock).remove()
    return not folder.exists()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / LOCK, thread_local=False)
