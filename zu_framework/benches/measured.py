"""A cell's numbers, read from its run folder whole or not at all: what is damaged is run anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from zu_framework.errors import ExitCode, RunFolderError
from zu_framework.problem import Measurement
from zu_framework.store.audits import read_audit
from zu_framework.store.fields import Fields
from zu_framework.store.tensor_files import check_digested

# what reading numbers of a damaged file raises
DAMAGED = (RunFolderError, ValueError, KeyError, TypeError, AttributeError, OverflowError)

NUMBERS = frozenset({"value", "numerator", "denominator", "low", "high"})


@dataclass(frozen=True)
class Measured:
    """What a run folder says.

    Args:
        before: Measurements of the untouched model, by metric.
        after: Measurements of the edited model, by metric.
        seconds: By phase, as they passed.
        saved: What parts found in the cache had taken, less the time to find them.
        facts: How many were forgotten.
        text_label: What a reader must know of the held-out text.
    """

    before: Mapping[str, Measurement]
    after: Mapping[str, Measurement]
    seconds: Mapping[str, float]
    saved: Mapping[str, float]
    facts: int
    text_label: str


def read_measured(folder: Path) -> Measured | None:
    """Read a run folder's `metrics.json`.

    Args:
        folder: The run folder.

    Returns:
        Its numbers; None where there is no such file, or a damaged one.
    """
    try:
        described = Fields.read(folder / "metrics.json")
        check_digested(described)
        found = described.values
        edit = found["edit"]
        return Measured(
            measurements(found["before"]),
            measurements(found["after"]),
            _seconds(edit["seconds"]),
            _seconds(edit.get("saved_seconds", {})),
            int(edit["requests"]),
            str(found.get("text_label", "")),
        )
    except DAMAGED:
        return None


def read_attacks(folder: Path) -> tuple[set[str], dict[str, Measurement]]:
    """Read what a run folder's audit found.

    Args:
        folder: The run folder.

    Returns:
        The attacks that were made or found impossible, and what each variant recovered; none where it has no audit, or
        a damaged one.
    """
    try:
        found = read_audit(folder / "audit")
        if found is None:
            return set(), {}
        shares = {one["variant"]: one.get("recovered") for one in found["findings"]}
        recovered = measurements({name: share for name, share in shares.items() if share is not None})
        return set(found.get("attacks", ())), recovered
    except DAMAGED:
        return set(), {}


def read_failure(path: Path) -> tuple[str, ExitCode] | None:
    """Read why a cell failed, and with which exit code.

    Args:
        path: Of the bench's `failed` folder.

    Returns:
        None where there is no such file, or a damaged one.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["error"]), ExitCode(found["exit_code"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def measurements(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Measurement]:
    """Make measurements of what JSON holds, where numbers that it has no word for are text.

    Args:
        kept: By metric.

    Returns:
        The same, typed.

    Raises:
        TypeError: An entry is none.
        ValueError: A number is none.
    """
    known = {entry.name for entry in fields(Measurement)}
    found = {}
    for name, entry in kept.items():
        values: dict[str, Any] = {k: v for k, v in entry.items() if k in known}
        values |= {k: float(v) for k, v in values.items() if k in NUMBERS and v is not None}
        found[name] = Measurement(**values)
    return found


def _seconds(kept: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(took) for name, took in kept.items()}
