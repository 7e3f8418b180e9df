"""A folder of tensors kept by fingerprint: each entry appears whole or not at all, and a damaged one is no entry.

Each kind of entry has its folder, which holds at most 16 GiB (another number of GiB by ZU_CACHE_GIB): what was not used
for longest goes first. A cache that cannot be written, or is another user's, is read without locks.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import ConfigError, RunFolderError, ZuError
from zu_framework.files import sweep, whole_file
from zu_framework.store.digests import fingerprint, tensor_hash

VARIABLE = "ZU_CACHE"  # names the cache folder, where the platform's own does not suit
LIMIT_VARIABLE = "ZU_CACHE_GIB"
LIMIT_GIB = 16.0
MOST_LOCKS = 256  # lock files that are left lying, of a kind
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Where statistics are kept: the folder that ZU_CACHE names, else the platform's cache folder of zu_framework."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("zu_framework")


def limit_bytes(variable: str = LIMIT_VARIABLE, default: float = LIMIT_GIB) -> int:
    """How many bytes a folder of the cache may hold.

    Args:
        variable: Of the environment, which gives another number of GiB.
        default: In GiB.

    Returns:
        The number of bytes.

    Raises:
        ConfigError: The variable holds no number of GiB.
    """
    given = os.environ.get(variable, str(default))
    try:
        limit = int(float(given) * 2**30)
    except (ValueError, OverflowError) as cause:
        raise ConfigError(f"{variable}={given!r}: give a number of GiB, 0 keeps nothing") from cause
    if limit < 0:
        raise ConfigError(f"{variable}={given!r}: give a number of GiB that is not below 0")
    return limit


class TensorCache:
    """Named tensors and a few facts about them, an entry a fingerprint.

    Args:
        folder: The cache; None for the user's own.
        kind: The subfolder that entries share.
        private: Readable by its owner alone, whatever the umask: for what follows from the facts.

    Raises:
        RunFolderError: The folder is a file.
    """

    def __init__(self, folder: Path | None = None, kind: str = "moments", *, private: bool = False) -> None:
        self.parent = folder or cache_folder()
        self.folder = self.parent / kind
        self.private = private
        self.writable = self._ready()

    def load(self, key: str, suffix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read an entry; a damaged one is removed, with a warning.

        Args:
            key: Its fingerprint.
            suffix: Of another entry under the same key.

        Returns:
            Tensors and facts, or None.
        """
        path = self._path(key, suffix)
        if not os.path.exists(path):  # unlike Path.exists, false also where the folder may not be entered
            return None
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                # copies: algebra on the file's own, unaligned memory may differ in the last bit from the run before
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
            if about["digest"] != _digest(tensors):
                raise ValueError("its checksum does not match")
        except (SafetensorError, ValueError, KeyError, TypeError, OSError) as cause:
            warnings.warn(f"{path} is damaged ({cause}): it is computed anew", stacklevel=2)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        self.touch(key, suffix)
        return tensors, about

    def store(
        self, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any], suffix: str = ""
    ) -> None:
        """Keep an entry. A full disk, or a cache that is not ours, costs a warning, not the run.

        Args:
            key: Its fingerprint.
            tensors: By name.
            about: Facts that JSON can hold.
            suffix: Of another entry under the same key.
        """
        if not self.writable:
            return
        path = self._path(key, suffix)
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        sweep(self.folder)
        try:
            with whole_file(path, private=self.private, durable=False) as partial:
                described = json.dumps({**about, "digest": _digest(kept)})
                save_file(kept, partial, metadata={"about": described})
        except (ZuError, OSError, SafetensorError) as cause:
            warnings.warn(f"{path} cannot be kept ({cause}): the next run computes it again", stacklevel=2)

    def remove(self, key: str, suffix: str = "") -> None:
        """Forget an entry.

        Args:
            key: Its fingerprint.
            suffix: Of another entry under the same key.
        """
        with suppress(OSError):
            self._path(key, suffix).unlink(missing_ok=True)

    def touch(self, key: str, suffix: str = "") -> None:
        """Note that an entry was used.

        Args:
            key: Its fingerprint.
            suffix: Of another entry under the same key.
        """
        with suppress(OSError):
            os.utime(self._path(key, suffix))

    def make_room(self, size: int) -> None:
        """Remove entries, those not used for longest first, and lock files that nobody holds.

        Args:
            size: Bytes that may be left.
        """
        if not self.writable:
            return
        held = _by_age(self.folder, "*.safetensors")
        total = sum(entry[1] for entry in held)
        for _, bytes_, path in held:
            if total <= size:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
            total -= bytes_
        locks = _by_age(self.folder, "*.lock")
        for _, _, path in locks[: max(0, len(locks) - MOST_LOCKS)]:
            with suppress(OSError, Timeout, NotImplementedError), FileLock(path, timeout=0):
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: str, *, held: bool = True) -> Iterator[None]:
        """Hold an entry against other runs: the second waits, and then finds what the first computed.

        Args:
            key: Its fingerprint.
            held: False for a process whose run holds the lock by another of its processes.

        Yields:
            Nothing.
        """
        lock = self._locked(key) if held and self.writable else None
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def _locked(self, key: str) -> FileLock | None:
        path = self.folder / f"{key}.lock"
        lock = FileLock(path)
        try:
            lock.acquire()
            os.utime(path)
        except (OSError, NotImplementedError) as cause:
            warnings.warn(f"{path} cannot be locked ({cause}): the run goes on without", stacklevel=2)
            return None
        return lock

    def _ready(self) -> bool:
        """Make the folder; whether it can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.private:
                self.folder.chmod(0o700)
        except OSError as cause:
            if cause.errno not in _NOT_OURS:
                raise RunFolderError(
                    f"cache folder {str(self.folder)!r} cannot be made: {cause.strerror}; name another by {VARIABLE}"
                ) from cause
        if self.folder.is_dir() and os.access(self.folder, os.W_OK):
            return True
        warnings.warn(
            f"cache folder {str(self.folder)!r} cannot be written: what it holds is read, nothing is added; name "
            f"another by {VARIABLE}",
            stacklevel=3,
        )
        return False

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}{suffix}.safetensors"


def _by_age(folder: Path, pattern: str) -> list[tuple[float, int, Path]]:
    """Files with the time of their last use and their size, the oldest first."""
    found = []
    for path in folder.glob(pattern):
        with suppress(OSError):  # another run may have removed it meanwhile
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """xxh3-128: moments and factors are large, and this guards against a bad disk, not against a person."""
    listed = {name: f"{tuple(t.shape)} {t.dtype} {tensor_hash(t)}" for name, t in tensors.items()}
    return fingerprint(listed)
