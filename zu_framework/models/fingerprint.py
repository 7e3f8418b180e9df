"""What a model is known by: a digest of each tensor, the same from memory and from a file, under any transformers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 24  # entries hashed at a time

# as safetensors calls them
DTYPE_NAMES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES: Mapping[str, torch.dtype] = {name: dtype for dtype, name in DTYPE_NAMES.items()}

# config entries that say where a model was loaded from and by what, not what it computes
OF_LOADING = frozenset(
    {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}
)
NOT_IDENTITY = OF_LOADING | {"bos_token_id", "eos_token_id", "pad_token_id"}


@dataclass(frozen=True)
class Fingerprint:
    """A model's tensors by name, each as `F32[64,32]:` and the SHA-256 of its bytes; tied ones once.

    Args:
        tensors: Digest by name.
        config: Entries of its config that say what it computes, as far as they are known.
    """

    tensors: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> str:
        """One SHA-256 over names and digests of all tensors."""
        listed = "".join(f"{name} {self.tensors[name]}\n" for name in sorted(self.tensors))
        return hashlib.sha256(listed.encode()).hexdigest()

    def replaced(self, digests: Mapping[str, str]) -> Fingerprint:
        """The fingerprint once some tensors hold something else.

        Args:
            digests: New digest by name.

        Returns:
            A new fingerprint.
        """
        return Fingerprint({**self.tensors, **digests}, self.config)


def tensor_digest(tensor: Tensor) -> str:
    """Digest a tensor.

    Args:
        tensor: Of any shape, dtype and device; its entries count in row order.

    Returns:
        Dtype, shape and SHA-256 of the bytes, such as `F32[64,32]:9f86d0...`.
    """
    flat = tensor.detach().reshape(-1)
    digest = hashlib.sha256()
    for start in range(0, flat.numel(), CHUNK):
        block = flat[start : start + CHUNK].cpu().contiguous().view(torch.uint8)
        digest.update(block.numpy().data)
    return described(DTYPE_NAMES[tensor.dtype], tensor.shape, digest.hexdigest())


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Digest tensors side by side, by as many threads as torch computes with.

    Args:
        tensors: By name.

    Returns:
        Digest by name.
    """
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as workers:
        return dict(zip(tensors, workers.map(tensor_digest, tensors.values()), strict=True))


def described(dtype: str, shape: Iterable[int], sha256: str) -> str:
    """A digest's text from its parts.

    Args:
        dtype: As safetensors calls it.
        shape: Of the tensor.
        sha256: Of its bytes, in hexadecimal.

    Returns:
        Such as `F32[64,32]:9f86d0...`.
    """
    return f"{dtype}[{','.join(map(str, shape))}]:{sha256}"


def parts_of(digest: str) -> tuple[str, tuple[int, ...]]:
    """Dtype and shape that a digest's text speaks of.

    Args:
        digest: As `tensor_digest` returns it.

    Returns:
        The dtype as safetensors calls it, and the shape.

    Raises:
        ValueError: It is no digest.
    """
    found = re.fullmatch(r"(\w+)\[([\d,]*)\]:[0-9a-f]{64}", digest)
    if found is None or found.group(1) not in DTYPES:
        raise ValueError(f"{digest!r} is no digest of a tensor")
    return found.group(1), tuple(int(n) for n in found.group(2).split(",") if n)


def identity(config: Mapping[str, Any], but: frozenset[str] = NOT_IDENTITY) -> dict[str, Any]:
    """Entries of a config that say what a model computes.

    Args:
        config: As JSON holds it.
        but: Names that say something else.

    Returns:
        The other entries, at any depth.
    """
    return {
        str(k): identity(v, but) if isinstance(v, Mapping) else v for k, v in config.items() if k not in but
    }


def hash_tensors(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    """Feed a running hash with names, shapes, dtypes and bytes.

    Args:
        digest: What `update` is called on.
        tensors: By name; of tied ones the first counts.
    """
    seen: set[int] = set()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        if tensor.data_ptr() in seen and tensor.numel():  # tied: the same storage under a second name
            continue
        seen.add(tensor.data_ptr())
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.reshape(-1)
        for start in range(0, flat.numel(), CHUNK):
            digest.update(flat[start : start + CHUNK].cpu().contiguous().view(torch.uint8).numpy().data)
