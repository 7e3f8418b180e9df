"""Sealing a run and taking its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zu_framework as zu


def sealed(run: Path, **options: Any) -> tuple[zu.Sealed, bytes]:
    keys: list[str] = []
    found = zu.seal(run, deliver=keys.append, **options)
    return found, bytes.fromhex(keys[0])
