"""The embedded world: an invented set of facts, a small model that knows them, and a twin that never saw ten of them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["model_path", "twin_path"]

_HERE = Path(__file__).parent


def model_path() -> Path:
    """The folder of the small model that knows the world, as `from_pretrained` loads it."""
    return _HERE / "model"


def twin_path() -> Path:
    """The folder of its twin, trained by the same recipe on the same texts less the default forget facts."""
    return _HERE / "twin"
