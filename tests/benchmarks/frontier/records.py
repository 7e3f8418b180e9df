"""Results as they come in: a JSON line a cell, appended at once, so that a stopped run goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.benchmarks.frontier.methods import cost


@dataclass(frozen=True)
class Cell:
    """One edit: which stage, how many facts, which draw, which method under which setting."""

    stage: str
    facts: int
    seed: int
    method: str
    setting: str

    def __str__(self) -> str:
        return f"{self.stage} {self.facts} facts, seed {self.seed}, {self.method} [{self.setting}]"


class Records:
    """What a results file holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[Cell, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            record = json.loads(line)
            self.found[Cell(**record["cell"])] = record["measured"]

    def __contains__(self, cell: Cell) -> bool:
        return cell in self.found

    def add(self, cell: Cell, measured: dict[str, Any]) -> None:
        """Keep a cell's measurements."""
        self.found[cell] = measured
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cell": asdict(cell), "measured": measured}) + "\n")

    def sizes(self) -> list[int]:
        """Numbers of facts that were reported."""
        return sorted({cell.facts for cell in self.found if cell.stage == "report" and cell.method != "base"})

    def of(
        self, stage: str, facts: int, method: str, setting: str | None = None
    ) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Cells of a method with what they measured, draws in order; refused ones left out."""
        for cell in sorted(self.found, key=lambda c: c.seed):
            wanted = (cell.stage, cell.facts, cell.method) == (stage, facts, method)
            if wanted and setting in (None, cell.setting) and "refused" not in self.found[cell]:
                yield cell, self.found[cell]

    def base(self, cell: Cell) -> dict[str, Any]:
        """The untouched model on the same draw."""
        return self.found[Cell(cell.stage, cell.facts, cell.seed, "base", "")]

    def costs(self, method: str) -> dict[str, float]:
        """Mean cost of each setting that was tried, on the draws of stage `choose`; infinite where one was refused."""
        tried: dict[str, list[float]] = {}
        for cell, found in self.found.items():
            if cell.stage == "choose" and cell.method == method:
                value = math.inf if "refused" in found else cost(found, self.base(cell))
                tried.setdefault(cell.setting, []).append(value)
        return {setting: fmean(values) for setting, values in tried.items()}

    def chosen(self, method: str) -> str | None:
        """The setting of least cost, or None where none was tried or all were refused."""
        costs = {s: c for s, c in self.costs(method).items() if math.isfinite(c)}
        return min(costs, key=lambda s: costs[s]) if costs else None
