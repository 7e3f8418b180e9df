"""What the cells measured, read from their run folders; and as tables of numbers: csv, and parquet where it can be."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zu_framework.bench.grid import Cell
from zu_framework.bench.planning import Planned
from zu_framework.problem import Measurement

MEASURING = ("load", "measure", "save")  # phases that are no part of what a method costs


@dataclass(frozen=True)
class CellResult:
    """One cell's result. error: why there is none. command: runs the cell alone, from where the bench was run.

    seconds: by phase, as they passed; saved: what its parts found in the cache had taken, less the time to find it.
    """

    cell: Cell
    name: str
    command: str
    before: Mapping[str, Measurement] = field(default_factory=dict)
    after: Mapping[str, Measurement] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    saved: Mapping[str, float] = field(default_factory=dict)
    facts: int = 0
    text_label: str = ""
    error: str = ""

    def cost(self) -> dict[str, float]:
        """Seconds by phase that the method would take alone: statistics and measuring apart, found targets included."""
        spent = {name: took for name, took in self.seconds.items() if name not in (*MEASURING, "background")}
        for name, took in self.saved.items():
            spent[name] = spent.get(name, 0.0) + took
        return spent


def read_results(planned: Sequence[Planned]) -> list[CellResult]:
    """Each cell's result or failure, in the grid's order."""
    return [_read(cell) for cell in planned]


def _read(planned: Planned) -> CellResult:
    command = f"zu run {shlex.quote(str(planned.config))}"
    if not planned.done:
        error = "it was not run"
        if planned.failure.exists():
            error = json.loads(planned.failure.read_text(encoding="utf-8"))["error"]
        return CellResult(planned.cell, planned.name, command, error=error)
    kept = json.loads((planned.folder / "metrics.json").read_text(encoding="utf-8"))
    edit = kept["edit"]
    return CellResult(
        planned.cell,
        planned.name,
        command,
        before=_measurements(kept["before"]),
        after=_measurements(kept["after"]),
        seconds=edit["seconds"],
        saved=edit.get("saved_seconds", {}),
        facts=int(edit["requests"]),
        text_label=kept.get("perplexity_text", ""),
    )


def _measurements(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Measurement]:
    """As `metrics.json` holds them: numbers that JSON has no word for are text there."""
    known = {entry.name for entry in fields(Measurement)}
    numbers = {"value", "numerator", "denominator", "low", "high"}
    found = {}
    for name, entry in kept.items():
        values: dict[str, Any] = {k: v for k, v in entry.items() if k in known}
        values |= {k: float(v) for k, v in values.items() if k in numbers and v is not None}
        found[name] = Measurement(**values)
    return found


def rows(cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    """One row a cell: what it is, each metric before and after with its parts, seconds by phase, error, command."""
    metrics = list(dict.fromkeys(name for cell in cells for name in (*cell.before, *cell.after)))
    phases = list(dict.fromkeys(name for cell in cells for name in cell.seconds))
    found = []
    for result in cells:
        cell = result.cell
        row: dict[str, Any] = {
            "cell": result.name,
            "model": cell.model,
            "dataset": cell.dataset,
            "method": cell.method,
            "forget": result.facts if result.facts else cell.forget,
            "seed": cell.seed,
            "status": "failed" if result.error else "done",
        }
        for name in metrics:
            old, new = result.before.get(name), result.after.get(name)
            row[f"{name}_before"] = None if old is None else old.value
            for part in ("value", "low", "high", "numerator", "denominator"):
                column = name if part == "value" else f"{name}_{part}"
                row[column] = None if new is None else getattr(new, part)
        for name in phases:
            row[f"seconds_{name}"] = result.seconds.get(name)
        row["seconds_alone"] = sum(result.cost().values()) if not result.error else None
        row |= {"error": result.error, "command": result.command}
        found.append(row)
    return found


def write_rows(folder: Path, table: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write results.csv, and results.parquet where pandas and pyarrow are installed; return their paths."""
    written = [folder / "results.csv"]
    with written[0].open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    parquet = folder / "results.parquet"
    parquet.unlink(missing_ok=True)  # never older than the csv beside it
    if find_spec("pandas") and find_spec("pyarrow"):
        import pandas

        pandas.DataFrame([dict(row) for row in table]).to_parquet(parquet, index=False)
        written.append(parquet)
    return written
