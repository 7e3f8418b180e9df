"""Edits that follow each other on one model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from zu_framework.engine.run import RunResult

Settings = dict[str, Any]
Edited = Callable[..., RunResult]
KEY_SPACE = {"name": "zerounlearn-local", "space": "key", "background_weight": 10}
FIRST, SECOND, THIRD = slice(0, 2), slice(2, 4), slice(4, 6)


def two(edited: Edited, **options: Any) -> tuple[RunResult, RunResult]:
    first = edited("first", None, FIRST, **options)
    return first, edited("second", first.folder / "model", SECOND, **options)


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")
