"""The embedded world: invented facts, a small model that knows them, and a twin that was never told ten."""

from __future__ import annotations

from pathlib import Path

from zu_framework.demo.corpus import background_texts, heldout_texts
from zu_framework.demo.world import forget_case_ids, kind_of, records, statements, unseen_statements

__all__ = [
    "background_texts",
    "forget_case_ids",
    "heldout_texts",
    "kind_of",
    "model_path",
    "records",
    "statements",
    "twin_path",
    "unseen_statements",
]

_HERE = Path(__file__).parent


def model_path() -> Path:
    """The folder of the small model that knows the world, as `from_pretrained` loads it."""
    return _HERE / "model"


def twin_path() -> Path:
    """The folder of its twin, trained by the same recipe on the same texts less the default forget facts."""
    return _HERE / "twin"
