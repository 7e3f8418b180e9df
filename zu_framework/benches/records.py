"""What the cells measured, read from their run folders; and as tables of numbers: csv, and parquet where it can be."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zu_framework.benches.grid import Cell
from zu_framework.benches.measured import read_attacks, read_failure, read_measured
from zu_framework.benches.planning import Planned
from zu_framework.errors import ExitCode
from zu_framework.files import whole_file
from zu_framework.problem import Measurement

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
    found = read_measured(planned.folder)
    if found is None or not planned.done:
        error, code = read_failure(planned.failure) or ("it was not run", ExitCode.INPUT)
        return CellResult(planned.cell, planned.name, command, error=error, exit_code=code)
    recovered = {f"audit/{name}": share for name, share in read_attacks(planned.folder)[1].items()}
    if recovered:
        recovered[WORST_ATTACK] = max(recovered.values(), key=lambda share: share.value)
    return CellResult(
        planned.cell,
        planned.name,
        command,
        before=found.before,
        after={**found.after, **recovered},
        seconds=found.seconds,
        saved=found.saved,
        facts=found.facts,
        text_label=found.text_label,
    )


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
