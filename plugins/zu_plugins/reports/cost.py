"""What the run took: time and peak memory of each phase, from its log."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from zu_framework.reporting import RunReport, fill

OBSERVING = ("observe",)  # phases that serve this page and other observers alone


def section(run: RunReport) -> Markup:
    """A row a phase, in the order in which they began."""
    phases: dict[str, dict[str, Any]] = {}
    for event in run.events:
        if event.get("event") == "phase":
            row = phases.setdefault(event["name"], {"seconds": 0.0, "peak": 0, "times": 0})
            row["seconds"] += event["seconds"]
            row["times"] += 1
            row["peak"] = max(row["peak"], event.get("peak_memory_bytes", 0))
    total = sum(row["seconds"] for row in phases.values())
    rows = [(name, row, row["seconds"] / total if total else 0.0) for name, row in phases.items()]
    observing = sum(row["seconds"] for name, row in phases.items() if name in OBSERVING)
    peak = max((row["peak"] for row in phases.values()), default=0) or None  # not every system tells
    return fill("cost.html", "zu_plugins.reports", rows=rows, total=total, observing=observing, peak=peak)
