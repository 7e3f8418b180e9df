"""Digests: of tensors, files and named values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from zu_framework.errors import RunFolderError


def tensor_hash(tensor: Tensor) -> str:
    """xxh3-128 of a tensor's entries in row order."""
    data = tensor.detach().cpu().contiguous()
    return xxhash.xxh3_128_hexdigest(data.view(torch.uint8).numpy().data) if data.numel() else ""


def file_digest(path: Path) -> str:
    """xxh3-128 of a file's bytes. Raises `RunFolderError` where it cannot be read."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as opened:
            while block := opened.read(1 << 24):
                digest.update(block)
    except OSError as cause:
        raise RunFolderError(f"{path} cannot be read: {cause.strerror}") from cause
    return digest.hexdigest()


def fingerprint(parts: Mapping[str, Any]) -> str:
    """xxh3-128 of named values, in any order."""
    return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode())
