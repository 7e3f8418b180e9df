"""The frontier on a real model: forgetting against damage, ours and the rivals, a line of JSON a cell.

    python -m tests.benchmarks.real_frontier OUT --model DIR --text TEXT.txt --facts world CF.json --stage choose
    python -m tests.benchmarks.real_frontier OUT --model DIR --text TEXT.txt --facts world CF.json --stage report
    python -m tests.benchmarks.real_frontier OUT ... --stage seconds --draws 0 --documents 60 --threads 2
    python -m tests.benchmarks.real_frontier OUT --table

Facts are CounterFact records; `world` names the packaged set. Only what the untouched model answers counts: facts,
paraphrases, neighbours. Settings are chosen on the first half of the pooled facts, reported on the second; a method may
retain or train on facts of the first half alone. What OUT/*.jsonl holds is not run again. `--shard 0/8` to `7/8` run
side by side; `--device cuda` there. `--stage seconds` times the edits that are reported, one after the other, and
counts nothing; the table has its seconds where it has any. It needs torch, transformers and the pure Python packages of
zu_framework.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import zu_framework as zu
from tests.benchmarks.frontier import drawing, once
from tests.benchmarks.real_methods import Method, cost, methods
from tests.benchmarks.real_world import Measured, World, add_arguments, forget, measured, world_of
from zu_framework.models import quick_products

COLUMNS = ("efficacy", "generalization", "specificity", "retained", "kl", "kl95", "perplexity", "seconds")
HEADS = ("Eff", "Gen", "Spe", "retained", "KL", "KL 95 %", "PPL x", "s a fact")
DAMAGES = (*drawing.DAMAGES[:2], ("kl", "KL to the untouched, nats a token (lower is better)"))
PLACES = (1, 1, 1, 1, 3, 3, 3, 2)

Cell = tuple[str, int, int, str, str]  # stage, facts, draw, method, setting


def run_cell(world: World, cell: Cell, config: Mapping[str, Any]) -> Measured:
    """Forget, measure, revert; a refusal is a result too."""
    stage, facts, seed, _, _ = cell
    data, retain = world.drawn(stage, facts, seed)
    if stage != "choose" and not world.warm:
        once.forget()  # seconds then hold all that a method does
    try:
        edit, seconds = forget(world, config, seed, data, retain)
    except zu.ZuError as refusal:
        return {"refused": str(refusal)}
    if stage == "seconds":
        edit.revert()
        return {"seconds": seconds}
    try:
        return {**measured(world, data), "seconds": math.nan if world.warm else seconds}
    finally:
        edit.revert()


class Records:
    """What OUT/*.jsonl holds; new lines go to this process's own file."""

    def __init__(self, folder: Path, contestants: Mapping[str, Method], shard: int = 0) -> None:
        self.contestants = contestants
        self.own = folder / f"cells-{shard}.jsonl"
        self.found: dict[Cell, Measured] = {}
        for path in sorted(folder.glob("cells-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self.found[tuple(record["cell"])] = record["measured"]

    def add(self, cell: Cell, found: Measured) -> None:
        self.found[cell] = found
        with self.own.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cell": cell, "measured": found}) + "\n")

    def of(self, stage: str, facts: int, method: str, setting: str) -> list[Measured]:
        wanted = (stage, facts, method, setting)
        held = {c[2]: m for c, m in self.found.items() if (c[0], c[1], c[3], c[4]) == wanted}
        return [held[seed] for seed in sorted(held) if "refused" not in held[seed]]

    def costs(self, method: str) -> dict[str, float]:
        """Mean cost of the settings that were tried and never refused."""
        tried: dict[str, list[float]] = {}
        for (stage, _, _, name, setting), found in self.found.items():
            if stage == "choose" and name == method:
                tried.setdefault(setting, []).append(math.inf if "refused" in found else cost(found))
        return {s: fmean(c) for s, c in tried.items() if math.isfinite(fmean(c))}

    def chosen(self, method: str) -> str | None:
        settings, costs = list(self.contestants[method].settings), self.costs(method)
        return min(costs, key=lambda s: (costs[s], settings.index(s))) if costs else None

    def reported(self, method: str) -> list[str]:
        """The setting that is reported: the chosen one, or the only one; none where nothing was tried."""
        settings = list(self.contestants[method].settings)
        chosen = self.chosen(method) if len(settings) > 1 else settings[0]
        return [chosen] if chosen else []


def cells(asked: argparse.Namespace, records: Records) -> list[Cell]:
    """What is asked for and not there yet, this shard's share of it."""
    wanted: list[Cell] = []
    for size in asked.sizes:
        for name in asked.methods or records.contestants:
            settings: Sequence[str] = list(records.contestants[name].settings)
            if asked.stage != "choose":
                settings = records.reported(name)
            elif len(settings) == 1:
                continue
            settings = [s for s in settings if not asked.settings or s in asked.settings]
            wanted += [(asked.stage, size, draw, name, s) for s in settings for draw in asked.draws]
    part, parts = map(int, asked.shard.split("/"))
    return [cell for cell in wanted if cell not in records.found][part::parts]


def tables(records: Records) -> str:
    """Markdown: the report for each number of facts, then what was tried when choosing."""
    parts = []
    for size in sorted({cell[1] for cell in records.found if cell[0] == "report"}):
        rows = [f"| method | setting | {' | '.join(HEADS)} |", "| --- " * (len(HEADS) + 2) + "|"]
        for name, method in records.contestants.items():
            for setting in records.reported(name):
                timed = records.of("seconds", size, name, setting)
                alone = {"seconds": fmean(m["seconds"] for m in timed)} if timed else {}
                if found := [{**m, **alone} for m in records.of("report", size, name, setting)]:
                    rows.append(f"| {method.label} | {setting} | {' | '.join(map(str, _shown(found)))} |")
        parts.append(f"{size} facts, mean ± standard deviation over draws\n\n" + "\n".join(rows))
    rows = ["| method | setting | cost | " + " | ".join(HEADS) + " |", "| --- " * (len(HEADS) + 3) + "|"]
    for name, method in records.contestants.items():
        for setting, value in sorted(records.costs(name).items(), key=lambda pair: pair[1]):
            mark = " (chosen)" if setting == records.chosen(name) else ""
            sizes = sorted({c[1] for c in records.found if c[0] == "choose" and c[3] == name})
            found = [m for size in sizes for m in records.of("choose", size, name, setting)]
            rows.append(f"| {method.label} | {setting}{mark} | {value:.1f} | {' | '.join(_shown(found))} |")
    return "\n\n".join([*parts, "Settings tried on the choosing half\n\n" + "\n".join(rows)])


def _shown(found: Sequence[Measured]) -> list[str]:
    shown = []
    for column, places in zip(COLUMNS, PLACES, strict=True):
        values = [m[column] for m in found if not math.isnan(m[column])]
        if not values:
            shown.append("-")  # seconds of a warm run
            continue
        mean, spread = fmean(values), stdev(values) if len(values) > 1 else 0.0
        text = f"{mean:.{places}f}" if mean < 1000 else f"{mean:.1e}"
        shown.append(text if column == "seconds" else f"{text} ± {spread:.{places}f}")
    return shown


def plot(records: Records, facts: int, path: Path) -> None:
    """Draw what each method still lets be answered against what it loses."""
    found = {}
    for name, method in records.contestants.items():
        draws = [m for setting in records.reported(name) for m in records.of("report", facts, name, setting)]
        found[method.label] = (method.kind, draws)
    drawing.scatter(found, DAMAGES, f"SmolLM2, {facts} facts: the best corner is bottom right", path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the results")
    add_arguments(parser)
    parser.add_argument("--stage", choices=("choose", "report", "seconds"), default="choose")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10])
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--settings", nargs="+", help="by name, of those of the methods; default: all")
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 5, 6], help="that editors edit")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th missing cell, from the i-th")
    parser.add_argument("--plot", type=Path, help="with --table: a picture of each number of facts goes here")
    parser.add_argument("--table", action="store_true", help="print what OUT holds")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    contestants = methods(asked.layers)
    records = Records(asked.out, contestants, int(asked.shard.split("/")[0]))
    if asked.table:
        print(tables(records))
        for size in asked.sizes if asked.plot else ():
            plot(records, size, asked.plot / f"real-{size}.svg")
        return
    missing = cells(asked, records)
    if not missing:
        return
    torch.set_num_threads(asked.threads)
    world = world_of(asked)
    print(f"known facts: {[len(half) for half in world.halves]}; cells to run: {len(missing)}", flush=True)
    for cell in missing:
        begun = time.perf_counter()
        with quick_products():
            found = run_cell(world, cell, contestants[cell[3]].settings[cell[4]])
        records.add(cell, found)
        shown = " ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in found.items())
        print(f"{' '.join(map(str, cell))} ({time.perf_counter() - begun:.0f} s): {shown}", flush=True)
    world.background.unlink()


if __name__ == "__main__":
    main()
