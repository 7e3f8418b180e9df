"""Factors of a site's moments on disk: what the first edit of a site computes, every later run reads.

The folder `factors` of the cache holds at most 16 GiB (another number of GiB by ZU_FACTORS_GIB, 0 keeps none): the
entries that were not used for longest go first. Factors below one MiB are quicker computed than read, and are not kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import ConfigError
from zu_framework.linalg import Factor, NullSpace
from zu_framework.store.cache import TensorCache
from zu_framework.store.digests import fingerprint, tensor_hash

FORMAT = 1  # raise it when what is kept changes
LIMIT_VARIABLE = "ZU_FACTORS_GIB"
LIMIT_GIB = 16.0
LEAST_BYTES = 1 << 20

_KINDS: Mapping[str, type[Any]] = {"Factor": Factor, "NullSpace": NullSpace}


@dataclass(frozen=True)
class FactorStore:
    """Keeps what solvers derive from a site's moments, by the fingerprint of moments, weight and parameters.

    moments: the cache key of each moment of the site; it stands for text, tokenizer and all weights below.
    """

    moments: Mapping[str, str]
    folder: Path | None = None

    def load(self, key: str, weight: Tensor | None, device: torch.device) -> Any | None:
        """The factor kept under `key` for this weight (None: it depends on the moments alone), or None."""
        if limit_bytes() == 0:
            return None
        cache = self._cache()
        name = self._name(key, weight)
        held = cache.load(name)
        if held is None:
            return None
        tensors, about = {n: t.to(device) for n, t in held[0].items()}, held[1]
        cache.touch(name)
        if about["kind"] == "Tensor":
            return tensors["value"]
        kind = _KINDS[about["kind"]]
        return kind(**{f.name: tensors.get(f.name, about["facts"].get(f.name)) for f in fields(kind)})

    def store(self, key: str, weight: Tensor | None, value: Any) -> None:
        """Keep a tensor, `Factor` or `NullSpace`; anything else, and what is small or too large, is not kept."""
        kind = type(value).__name__
        if isinstance(value, Tensor):
            tensors, facts, kind = {"value": value}, {}, "Tensor"
        elif kind in _KINDS:
            held = {f.name: getattr(value, f.name) for f in fields(value)}
            tensors = {name: part for name, part in held.items() if isinstance(part, Tensor)}
            facts = {name: part for name, part in held.items() if not isinstance(part, Tensor)}
        else:
            return
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        if not LEAST_BYTES <= size <= limit_bytes():
            return
        cache = self._cache()
        cache.make_room(limit_bytes() - size)
        cache.store(self._name(key, weight), tensors, {"kind": kind, "facts": facts})

    def _cache(self) -> TensorCache:
        return TensorCache(self.folder, "factors")

    def _name(self, key: str, weight: Tensor | None) -> str:
        return fingerprint(
            {
                "format": FORMAT,
                "moments": dict(self.moments),
                "factor": key,
                "weight": None if weight is None else tensor_hash(weight),
            }
        )


def limit_bytes() -> int:
    """How much the folder of factors may hold. Raises `ConfigError` where the variable holds no number."""
    given = os.environ.get(LIMIT_VARIABLE, str(LIMIT_GIB))
    try:
        limit = float(given)
    except ValueError as cause:
        raise ConfigError(f"{LIMIT_VARIABLE}={given!r}: give a number of GiB, 0 keeps no factors") from cause
    return int(limit * 2**30)
