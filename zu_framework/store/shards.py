"""A checkpoint as files: which tensor lies where in its safetensors, its bytes and its digest; no model is loaded."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zu_framework.errors import ModelError
from zu_framework.models.fingerprint import DTYPES, Fingerprint, described, identity
from zu_framework.models.weight_files import read_headers

BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a safetensors file.

    Args:
        name: Of the tensor.
        file: Where it lies.
        dtype: As safetensors calls it.
        shape: Of the tensor.
        begin: The first of its bytes in the file.
        end: The first byte behind it.
        held: Makes what it is to hold instead, of the same dtype and shape.
    """

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    held: Callable[[], Tensor] | None = None

    def read(self) -> Tensor:
        """The tensor, on the CPU. Raises `ModelError` for a dtype that torch does not have."""
        if self.held is not None:
            return self.held()
        if self.dtype not in DTYPES:
            raise ModelError(f"{self.file}: tensor {self.name!r} is {self.dtype}, which torch does not have")
        found = torch.empty(self.shape, dtype=DTYPES[self.dtype])
        raw = found.reshape(-1).view(torch.uint8).numpy()
        at = 0
        for block in self.blocks():
            raw[at : at + len(block)] = memoryview(block)
            at += len(block)
        return found

    def blocks(self) -> Iterator[bytes]:
        """Its bytes in pieces, as they lie in the file or will. Raises `ModelError` where the file ends before."""
        if self.held is not None:
            raw = self.held().contiguous().reshape(-1).view(torch.uint8).numpy()
            for start in range(0, len(raw), BLOCK):
                yield raw[start : start + BLOCK].tobytes()
            return
        with self.file.open("rb") as opened:
            opened.seek(self.begin)
            left = self.end - self.begin
            while left:
                block = opened.read(min(BLOCK, left))
                if not block:
                    raise ModelError(f"{self.file}: damaged: it ends within tensor {self.name!r}")
                left -= len(block)
                yield block

    def digest(self) -> str:
        """Its digest, as `tensor_digest` of the tensor in memory would be."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return described(self.dtype, self.shape, digest.hexdigest())


@dataclass(frozen=True)
class Change:
    """What a tensor is to hold: made when it is written, so that one alone is in memory.

    Args:
        make: Returns the tensor, of the dtype and shape that it has in the file; the same each time.
        digest: Of that.
    """

    make: Callable[[], Tensor]
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """The safetensors that transformers would load from a folder, tensor by tensor, and the folder's config.

    Args:
        folder: The checkpoint.
        tensors: By name.
        config: As config.json holds it.
    """

    folder: Path
    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read the headers of a checkpoint's files.

        Args:
            folder: A folder with config.json and safetensors.

        Returns:
            The checkpoint.

        Raises:
            ModelError: A file is missing or damaged.
        """
        tensors: dict[str, StoredTensor] = {}
        for file in sorted({one.file for one in read_headers(folder).values()}):
            for stored in read_header(folder / file):
                if stored.name in tensors:
                    other = tensors[stored.name].file.name
                    raise ModelError(f"{folder}: tensor {stored.name!r} lies in both {other} and {file}")
                tensors[stored.name] = stored
        return cls(folder, tensors, _config(folder))

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digest of each tensor; computed once: the files must not change meanwhile."""
        with ThreadPoolExecutor(max(1, torch.get_num_threads())) as workers:
            found = workers.map(StoredTensor.digest, self.tensors.values())
            return dict(zip(self.tensors, found, strict=True))

    @property
    def fingerprint(self) -> Fingerprint:
        """Digests of all tensors, and the config's own entries."""
        return Fingerprint(self.digests, identity(self.config))

    def replaced(self, changes: Mapping[str, Change]) -> Checkpoint:
        """This checkpoint once some tensors hold something else.

        Args:
            changes: By name of the tensor.

        Returns:
            A new checkpoint of the same files.
        """
        held = {name: replace(self.tensors[name], held=change.make) for name, change in changes.items()}
        found = Checkpoint(self.folder, {**self.tensors, **held}, self.config)
        digests = {name: change.digest for name, change in changes.items()}
        found.__dict__["digests"] = {**self.digests, **digests}
        return found


def read_header(file: Path) -> Iterator[StoredTensor]:
    """The tensors of a safetensors file.

    Args:
        file: The file.

    Yields:
        Each tensor's place.

    Raises:
        ModelError: The file is damaged.
    """
    try:
        with safe_open(file, "pt") as opened:  # checks header, offsets and the file's length
            opened.keys()
        with file.open("rb") as raw:
            (length,) = struct.unpack("<Q", raw.read(8))
            header = json.loads(raw.read(length))
    except (SafetensorError, OSError, ValueError, struct.error) as cause:
        raise ModelError(
            f"{file}: damaged or no safetensors file: {cause}; download or copy it again"
        ) from cause
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            yield StoredTensor(
                name, file, entry["dtype"], tuple(entry["shape"]), 8 + length + begin, 8 + length + end
            )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise ModelError(f"{path}: cannot be read: {cause}") from cause
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds {type(found).__name__}, not an object")
    return found
