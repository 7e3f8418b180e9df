"""Run the frontier, a line of JSON a cell; what is in the file already is not run again.

    python -m tests.benchmarks.frontier out --world demo
    python -m tests.benchmarks.frontier out --world cf-mini --model MODEL --data FACTS.json --text TEXT.txt
    python -m tests.benchmarks.frontier out --table               what the file holds, as tables and a plot

Stage `choose` tries every setting of every method on the first half of the facts; stage `report` runs each method's
chosen one on the second. `--methods sweep` changes one setting of our solver at a time, on the first half. One thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.frontier import drawing
from tests.benchmarks.frontier.cells import measured, run_cell
from tests.benchmarks.frontier.methods import Method, methods
from tests.benchmarks.frontier.records import Cell, Records
from tests.benchmarks.frontier.worlds import World, checkpoint_world, demo_world
from zu_framework import ZuError


def main() -> None:
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    records = Records(asked.out / f"{asked.world}.jsonl")
    contestants = methods(asked.world)
    if asked.table:
        print(drawing.tables(records, contestants))
        for facts in records.sizes():
            drawing.plot(records, contestants, facts, asked.out / f"{asked.world}-{facts}.svg")
        return
    torch.set_num_threads(1)
    world = _world(asked)
    names = asked.methods or [name for name, method in contestants.items() if method.report]
    for cell in _cells(asked.stage, asked.facts, asked.seeds, names, contestants, records):
        if cell in records:
            continue
        method = contestants.get(cell.method)
        records.add(cell, _run(world, cell, method))


def _cells(
    stage: str,
    facts: list[int],
    seeds: list[int],
    names: list[str],
    contestants: dict[str, Method],
    records: Records,
) -> Iterator[Cell]:
    """Every cell that the stage asks for; a report only of methods for which a setting was chosen."""
    for size in facts:
        for seed in seeds:
            yield Cell(stage, size, seed, "base", "")
    for size in facts:
        for name in names:
            settings = contestants[name].settings
            if stage == "report":
                if not contestants[name].report:
                    sys.exit(f"{name} is looked at on the choosing half alone: --stage choose")
                chosen = records.chosen(name) if len(settings) > 1 else next(iter(settings))
                if chosen is None:
                    print(f"{name}: nothing chosen yet, run --stage choose first", file=sys.stderr)
                    continue
                settings = {chosen: settings[chosen]}
            elif len(settings) == 1:
                continue  # nothing to choose
            for setting in settings:
                for seed in seeds:
                    yield Cell(stage, size, seed, name, setting)


def _run(world: World, cell: Cell, method: Method | None) -> dict[str, Any]:
    drawn = world.drawn(cell.stage, cell.facts, cell.seed)
    start = time.perf_counter()
    try:
        if method is None:
            found: dict[str, Any] = dict(measured(world, drawn))
        else:
            found = dict(run_cell(world, drawn, method.settings[cell.setting], cell.seed))
    except ZuError as refusal:
        found = {"refused": str(refusal)}
    shown = " ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in found.items())
    print(f"{cell} ({time.perf_counter() - start:.0f} s): {shown}", flush=True)
    return found


def _world(asked: argparse.Namespace) -> World:
    if asked.world == "demo":
        return demo_world()
    if not (asked.model and asked.data and asked.text):
        sys.exit(f"world {asked.world!r} needs --model, --data and --text")
    return checkpoint_world(asked.world, asked.model, asked.data, asked.text, asked.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--world", default="demo", help="demo, or a name of your own for a checkpoint")
    parser.add_argument("--model", type=Path, help="folder of a checkpoint")
    parser.add_argument("--data", type=Path, help="CounterFact records that it answers")
    parser.add_argument("--text", type=Path, help="general text, one document a line")
    parser.add_argument("--stage", choices=("choose", "report"), default="choose")
    parser.add_argument("--facts", type=int, nargs="+", default=[8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--table", action="store_true", help="print what the file holds, and draw it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
