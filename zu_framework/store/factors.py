"""Factors of a site's moments: computed once a run, and read by every later run that would compute the same.

A factor is what a solver's `prepare` returns. Its key is made here, of all that it follows from: the plugin and its
version, the function and the source of its package and of `zu_framework.linalg`, the options that the registration
lists, the moments, and the weight where that is read. A changed formula therefore never meets an old factor.

The folder `factors` of the cache holds at most 16 GiB (another number of GiB by ZU_FACTORS_GIB, 0 keeps none): the
entries that were not used for longest go first. Factors below one MiB are quicker computed than read, and stay in
memory, as do those of a weight that this run has written, which no other run will meet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import xxhash
from torch import Tensor

from zu_framework import linalg
from zu_framework.problem import Background
from zu_framework.registry import Registered
from zu_framework.specs import SolverSpec
from zu_framework.store.cache import TensorCache
from zu_framework.store.cache import limit_bytes as cache_limit_bytes
from zu_framework.store.digests import fingerprint, tensor_hash

FORMAT = 2  # raise it when the entries' layout changes
LIMIT_VARIABLE = "ZU_FACTORS_GIB"
LIMIT_GIB = 16.0
LEAST_BYTES = 1 << 20


@dataclass
class Factors:
    """The factors of one run, in memory and in the cache folder.

    Args:
        folder: The cache folder; the user's own where it is None.
    """

    folder: Path | None = None
    # key -> weight's digest, factor
    _held: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False)

    def of(
        self,
        solver: Registered,
        options: Any,
        background: Background,
        weight: Tensor,
        *,
        written: bool = False,
    ) -> Any:
        """Return the solver's factor at a site; None for a solver without one.

        Args:
            solver: A site solver's registration.
            options: Its options.
            background: The moments that it needs, and no others.
            weight: W (o, i).
            written: Whether this run has written W before.
        """
        assert isinstance(solver.spec, SolverSpec)
        declared = solver.spec.prepare
        prepare: Any = solver.load_prepare()
        if declared is None or prepare is None:
            return None
        reads = declared.reads_weight_under(options)
        weight_digest = _tensor_digest(weight) if reads else ""
        code = code_digest(prepare)
        key = fingerprint(
            {
                "format": FORMAT,
                "plugin": [solver.plugin, solver.version],
                "function": [declared.target, code],
                "options": {name: repr(getattr(options, name)) for name in declared.options},
                "moments": _moment_digests(background),
            }
        )
        held = self._held.get(key)
        if held is not None and held[0] == weight_digest:
            return held[1]

        def compute() -> Any:
            return prepare(background, weight, options)

        if code is None or (reads and written) or limit_bytes() == 0:
            found = compute()
        else:
            name = fingerprint({"factor": key, "weight": weight_digest})
            entries = TensorCache(self.folder, "factors")
            found = _stored(entries, name, _classes(prepare), weight.device, compute)
        # a weight's last factor alone: one that was written over is gone
        self._held[key] = (weight_digest, found)
        return found


@cache
def code_digest(function: Any) -> str | None:
    """Return a digest of the source that a function runs on; None where there is no file to read.

    It covers the package that the function's module lies in, or the module alone where that is in no package, and
    `zu_framework.linalg`. Read once a function object, when it is first used: what is loaded later is another object.
    """
    own = _sources(sys.modules.get(function.__module__))
    if not own:
        return None
    digest = xxhash.xxh3_128()
    try:
        for path in [*own, *_sources(linalg)]:
            raw = path.read_bytes()
            digest.update(f"{path.name}:{len(raw)}:".encode())
            digest.update(raw)
    except OSError:  # a module from an archive, say: its factors stay in memory
        return None
    return digest.hexdigest()


def limit_bytes() -> int:
    """Return how many bytes the folder of factors may hold.

    Raises:
        ConfigError: The variable holds no number.
    """
    return cache_limit_bytes(LIMIT_VARIABLE, LIMIT_GIB)


def _sources(module: ModuleType | None) -> list[Path]:
    """The file of a module, and those beside it where they are of one package."""
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return []
    alone = module.__spec__ is None or not module.__spec__.parent
    return [Path(file)] if alone else sorted(Path(file).parent.rglob("*.py"))


def _moment_digests(background: Background) -> dict[str, str]:
    return {
        name: background.digests.get(name) or _tensor_digest(getattr(background, name))
        for name in sorted(background.given)
    }


def _tensor_digest(tensor: Tensor) -> str:
    return f"{tensor_hash(tensor)} {tuple(tensor.shape)} {tensor.dtype}"


# ------------------------------------------------------------------------------------------------- on disk


def _stored(
    cache: TensorCache,
    name: str,
    classes: Mapping[str, type[Any]],
    device: torch.device,
    compute: Callable[[], Any],
) -> Any:
    """The factor of an entry, computed and stored where there is none."""
    entry = cache.load(name)
    if entry is not None:
        cache.touch(name)
        return _unpacked(entry[1]["factor"], {n: t.to(device) for n, t in entry[0].items()}, classes)
    found = compute()
    tensors: dict[str, Tensor] = {}
    try:
        packed = _packed(found, "factor", tensors, classes)
    except TypeError:  # made of something else: it stays in memory
        return found
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    if LEAST_BYTES <= size <= limit_bytes():
        cache.make_room(limit_bytes() - size)
        cache.store(name, tensors, {"factor": packed})
    return found


def _classes(prepare: Callable[..., Any]) -> dict[str, type[Any]]:
    """The dataclasses that a factor may be made of: those of its module's package and of `zu_framework.linalg`."""
    package = prepare.__module__.rpartition(".")[0] or prepare.__module__
    known = [*vars(linalg).values(), *vars(sys.modules[prepare.__module__]).values()]
    return {
        c.__qualname__: c
        for c in known
        if isinstance(c, type) and is_dataclass(c) and c.__module__.startswith((package, linalg.__name__))
    }


def _packed(value: Any, path: str, tensors: dict[str, Tensor], classes: Mapping[str, type[Any]]) -> Any:
    """A factor as JSON that names its tensors. Raises `TypeError` for what cannot be stored."""
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if classes.get(type(value).__qualname__) is type(value):
        parts = {f.name: f"{path}.{f.name}" for f in fields(value)}
        return {
            "class": type(value).__qualname__,
            "fields": {
                name: _packed(getattr(value, name), at, tensors, classes) for name, at in parts.items()
            },
        }
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"{path} is a {type(value).__name__}")


def _unpacked(packed: Any, tensors: Mapping[str, Tensor], classes: Mapping[str, type[Any]]) -> Any:
    if "tensor" in packed:
        return tensors[packed["tensor"]]
    if "class" in packed:
        parts = {name: _unpacked(part, tensors, classes) for name, part in packed["fields"].items()}
        return classes[packed["class"]](**parts)
    return packed["value"]
