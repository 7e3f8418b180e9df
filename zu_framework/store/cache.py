"""A folder of tensors kept by fingerprint: each entry appears whole or not at all, and a damaged one is no entry."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import platformdirs
import xxhash
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import RunFolderError

VARIABLE = "ZU_CACHE"  # names the cache folder, where the platform's own does not suit


def cache_folder() -> Path:
    """Where statistics are kept: the folder that ZU_CACHE names, else the platform's cache folder of zu_framework."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("zu_framework")


class TensorCache:
    """Named tensors and a few facts about them, an entry a fingerprint; kind: the subfolder that they share."""

    def __init__(self, folder: Path | None = None, kind: str = "moments") -> None:
        self.parent = folder or cache_folder()
        self.folder = self.parent / kind
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise RunFolderError(
                f"cache folder {str(self.folder)!r} cannot be made: {cause.strerror}; name another by {VARIABLE}"
            ) from cause

    def load(self, key: str, suffix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The entry's tensors and facts, or None. A damaged entry is removed, with a warning."""
        path = self._path(key, suffix)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                # copies: algebra on the file's own, unaligned memory may differ in the last bit from the run before
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
            if about["digest"] != _digest(tensors):
                raise ValueError("its checksum does not match")
        except (SafetensorError, ValueError, KeyError, OSError) as cause:
            warnings.warn(f"{path} is damaged ({cause}): it is computed anew", stacklevel=2)
            path.unlink(missing_ok=True)
            return None
        return tensors, about

    def store(
        self, key: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any], suffix: str = ""
    ) -> None:
        """Keep an entry: written under a temporary name, then renamed. A full disk costs a warning, not the run."""
        path = self._path(key, suffix)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            save_file(kept, partial, metadata={"about": json.dumps({**about, "digest": _digest(kept)})})
            os.replace(partial, path)
        except (OSError, SafetensorError) as cause:
            warnings.warn(f"{path} cannot be kept ({cause}): the next run computes it again", stacklevel=2)
        finally:
            partial.unlink(missing_ok=True)

    def remove(self, key: str, suffix: str = "") -> None:
        """Forget an entry."""
        self._path(key, suffix).unlink(missing_ok=True)

    def touch(self, key: str) -> None:
        """Note that an entry was used."""
        with suppress(OSError):
            os.utime(self._path(key, ""))

    def make_room(self, size: int) -> None:
        """Remove entries, those not used for longest first, until at most `size` bytes are held."""
        held = []
        for path in self.folder.glob("*.safetensors"):
            with suppress(OSError):  # another run may have removed it meanwhile
                status = path.stat()
                held.append((status.st_mtime, status.st_size, path))
        total = sum(entry[1] for entry in held)
        for _, bytes_, path in sorted(held):
            if total <= size:
                return
            path.unlink(missing_ok=True)
            total -= bytes_

    @contextmanager
    def lock(self, key: str, *, held: bool = True) -> Iterator[None]:
        """Hold an entry against other runs: the second waits, and then finds what the first computed.

        held: False for a process whose run holds the lock by another of its processes.
        """
        with FileLock(self.folder / f"{key}.lock") if held else nullcontext():
            yield

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}{suffix}.safetensors"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()
