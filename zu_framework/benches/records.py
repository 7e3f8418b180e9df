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

from zu_framework.benches.grid import Cell
from zu_framework.benches.planning import Planned, read_metrics
from zu_framework.errors import ExitCode
from zu_framework.files import whole_file
from zu_framework.problem import Measurement
from zu_framework.store.audits import read_audit

WORST_ATTACK = "audit/worst"
MEASURING = ("load", "measure", "observe", "save")  # phases that are no part of what a method costs


@dataclass(frozen=True)
class CellResult:
    """One cell's result.

    Args:
        cell: The run.
        name: Of its folder.
        command: Runs it alone, from where the bench was run.
        before: Measurements of the untouched model, by metric.
        after: Measurements of the edited model, by metric.
        seconds: By phase, as they passed.
        saved: What parts found in the cache had taken, less the time to find them.
        facts: How many were forgotten.
        text_label: What a reader must know of the held-out text.
        error: Why there is no result.
        exit_code: Of a run that failed; 0 of one that is done.
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
    exit_code: ExitCode = ExitCode.DONE

    def cost(self) -> dict[str, float]:
        """Return seconds by phase that the method would take alone, found targets included.

        Statistics of general text and measuring are no part of it.
        """
        spent = {name: took for name, took in self.seconds.items() if name not in (*MEASURING, "background")}
        for name, took in self.saved.items():
            spent[name] = spent.get(name, 0.0) + took
        return spent


def read_results(planned: Sequence[Planned]) -> list[CellResult]:
    """Return each cell's result or failure, in the grid's order."""
    return [_read(cell) for cell in planned]


def _read(planned: Planned) -> CellResult:
    command = f"zu run {shlex.quote(str(planned.config))}"
    kept = read_metrics(planned.folder)
    if kept is None or not planned.done:
        error, code = "it was not run", int(ExitCode.INPUT)
        if planned.failure.exists():
            failure = json.loads(planned.failure.read_text(encoding="utf-8"))
            error, code = failure["error"], failure.get("exit_code", code)
        return CellResult(planned.cell, planned.name, command, error=error, exit_code=ExitCode(code))
    edit = kept["edit"]
    return CellResult(
        planned.cell,
        planned.name,
        command,
        before=_measurements(kept["before"]),
        after={**_measurements(kept["after"]), **_recovered(planned.folder)},
        seconds=edit["seconds"],
        saved=edit.get("saved_seconds", {}),
        facts=int(edit["requests"]),
        text_label=kept.get("text_label", ""),
    )


def _recovered(folder: Path) -> dict[str, Measurement]:
    """Return what the attacks of an audit recovered, by `audit/VARIANT`, and the worst; none without an audit."""
    found = read_audit(folder / "audit")
    shares = {} if found is None else {one["variant"]: one.get("recovered") for one in found["findings"]}
    measured = _measurements({f"audit/{name}": share for name, share in shares.items() if share is not None})
    if measured:
        measured[WORST_ATTACK] = max(measured.values(), key=lambda share: share.value)
    return measured


def _measurements(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Measurement]:
    """Return measurements from `metrics.json`, where numbers that JSON has no word for are text."""
    known = {entry.name for entry in fields(Measurement)}
    numbers = {"value", "numerator", "denominator", "low", "high"}
    found = {}
    for name, entry in kept.items():
        values: dict[str, Any] = {k: v for k, v in entry.items() if k in known}
        values |= {k: float(v) for k, v in values.items() if k in numbers and v is not None}
        found[name] = Measurement(**values)
    return found


def rows(cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Return one row a cell: what it is, each metric before and after with its parts, seconds, error, command."""
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
    with whole_file(written[0]) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    parquet = folder / "results.parquet"
    parquet.unlink(missing_ok=True)  # never older than the csv beside it
    if find_spec("pandas") and find_spec("pyarrow"):
        import pandas

        with whole_file(parquet) as partial:
            pandas.DataFrame([dict(row) for row in table]).to_parquet(partial, index=False)
        written.append(parquet)
    return written
