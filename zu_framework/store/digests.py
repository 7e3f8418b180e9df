"""Digests of tensors and of named values, for the cache: quick, and no proof against a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
import xxhash
from torch import Tensor


def tensor_hash(tensor: Tensor) -> str:
    """xxh3-128 of a tensor's entries in row order."""
    data = tensor.detach().cpu().contiguous().reshape(-1)
    return xxhash.xxh3_128_hexdigest(data.view(torch.uint8).numpy().data) if data.numel() else ""


def fingerprint(parts: Mapping[str, Any]) -> str:
    """xxh3-128 of named values, in any order."""
    return xxhash.xxh3_128_hexdigest(
        json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )
