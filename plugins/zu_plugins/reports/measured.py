"""Every metric before and after: value, interval, what it counts, and what it means."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from zu_framework import Measurement
from zu_framework.evaluation import counted
from zu_framework.reporting import RunReport, fill


def section(run: RunReport) -> Markup:
    """One row a metric."""
    rows = []
    for name in dict.fromkeys((*run.before, *run.after)):
        old, new = run.before.get(name), run.after.get(name)
        about = new or old
        assert about is not None
        label = f" ({run.text_label})" if run.text_label and about.grain == "token" else ""
        rows.append(
            {
                "name": name.replace("_", " ") + label,
                "definition": about.definition or run.summaries.get(name, ""),
                "better": run.better.get(name.partition("/")[0], ""),
                "before": old,
                "after": new,
                "change": _change(old, new),
                "counted": counted(old, new),
                "line": _line(old, new),
            }
        )
    intervals = any(m.low is not None for m in (*run.before.values(), *run.after.values()))
    return fill("measured.html", "zu_plugins.reports", rows=rows, intervals=intervals)


def _change(old: Measurement | None, new: Measurement | None) -> float | None:
    if old is None or new is None:
        return None
    change = new.value - old.value
    return change if math.isfinite(change) else None


def _line(old: Measurement | None, new: Measurement | None) -> tuple[Any, ...] | None:
    """What the before/after line draws, on a scale from 0 to 100; None for what is no share."""
    known = [m for m in (old, new) if m is not None]
    if not known or not all(m.unit == "%" or _within_one(m) for m in known):
        return None
    values: list[Any] = []
    for m in (old, new):
        factor = 1 if m is not None and m.unit == "%" else 100
        values.append(
            None if m is None else [factor * v if v is not None else None for v in (m.value, m.low, m.high)]
        )
    (before, before_low, before_high), (after, after_low, after_high) = (
        v or (None, None, None) for v in values
    )
    return before, after, before_low, before_high, after_low, after_high


def _within_one(measured: Measurement) -> bool:
    """Probabilities and other shares of one, by the grain of what they are a mean of."""
    return "probability" in measured.definition and 0 <= measured.value <= 1
