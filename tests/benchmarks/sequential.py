"""Twenty requests of ten facts, one after another, on the embedded model: what is forgotten, what stays.

    python -m tests.benchmarks.sequential
    python -m tests.benchmarks.sequential --edits 5 --only zerounlearn-local memit

Each edit is made on the model that the ones before it left. Forgotten facts come from the second half of the world's
records; no request ever asks to forget one of the first half, which is dealt in turn into facts that a method may
retain and those that `retained` counts. Prints a Markdown table: efficacy and generalization over all facts forgotten
so far (lower is better), the efficacy of the very first ten, retained facts (higher), perplexity as a ratio to the
untouched model.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import zu_framework as zu
from tests.benchmarks.commands import parser, table
from zu_framework.config import load_config
from zu_framework.engine.opening import read_data
from zu_framework.engine.session import resolve
from zu_framework.evaluation import measure
from zu_framework.registry.manager import installed_plugins

FACTS = 10
SHOWN = (1, 5, 10, 15, 20)
UNGUARDED = ("guard.text=null", "guard.facts=null")  # damage is shown, not prevented
CONTEXTS = "collector.starts=[The,He,At]"  # four contexts a fact, not the demo's twelve: a third of its time
METRICS = ("efficacy", "generalization", "retained", "perplexity")
# the ratio of the demo's own weights (2500 to 50); the published 15000 hardly moves a small model
MEMIT_WEIGHT = 50


@dataclass(frozen=True)
class Contestant:
    """One row group of the table: overrides over the config `demo`; whether earlier edits, and facts, are retained."""

    name: str
    overrides: list[str] = field(default_factory=list)
    earlier: bool = True
    facts: bool = False


def contestants() -> list[Contestant]:
    """The row groups, in the table's order."""
    # the published rules find no direction in so small a model
    null = ["solver.name=alphaedit", "solver.null_energy=0.05", "solver.l2=1"]
    retain = ["solver.retain_weight=10000", "collector.substitutes=10", "solver.zero_weight=0"]
    starts = {"contexts": "generated", "starts": ["The", "He", "At"]}
    later = {
        "locator": {"layers": [1, 2]},
        "collector": {"name": "prompt-last", **starts, "substitutes": 10},
        "target": {"clamp": 0.3, "steps": 25},
    }
    earlier = ["solver.earlier_weight=50"]
    stages = ["target.clamp=0.75", *earlier, f"then={json.dumps([later])}"]
    memit = ["solver.name=memit", f"solver.background_weight={MEMIT_WEIGHT}"]
    return [
        Contestant("zerounlearn-local", earlier),
        Contestant("zerounlearn-local, earlier keys not retained", earlier=False),
        Contestant("zerounlearn-local, facts retained", [*earlier, *retain], facts=True),
        Contestant("zerounlearn-local in two stages, facts retained", [*stages, *retain], facts=True),
        Contestant("memit", memit),
        Contestant("alphaedit", null),
        Contestant("alphaedit, earlier keys not retained", null, earlier=False),
    ]


def sequence(contestant: Contestant, edits: int, seed: int) -> list[dict[str, float]]:
    """Measurements before any edit and after those of `SHOWN`."""
    plugins = installed_plugins()
    config = load_config("demo", ["data.forget=all", f"seed={seed}"])
    split = read_data(resolve(config, plugins, ("data",)))
    asked = random.Random(seed).sample(split.forget, FACTS * edits)
    lm = zu.LanguageModel.from_pretrained("zu:demo", dtype="float32", device="cpu")
    metrics = {name: plugins.registry.get("metric", name).load() for name in METRICS}

    def measured(so_far: list[zu.Request]) -> dict[str, float]:
        whole = zu.DataSplit(tuple(so_far or asked), split.retain[1::2], split.heldout_texts)
        found = {name: m.value for name, m in measure(lm, whole, metrics).items()}
        first = zu.DataSplit(tuple(asked[:FACTS]))
        return found | {"first": measure(lm, first, {"first": metrics["efficacy"]})["first"].value}

    rows = [measured([])]
    print(f"{contestant.name}: before {rows[0]}", file=sys.stderr, flush=True)
    done: list[zu.Edit] = []
    for number in range(edits):
        requests = asked[FACTS * number : FACTS * (number + 1)]
        start = time.perf_counter()
        edit = zu.unlearn(
            lm,
            lm.tokenizer,
            requests,
            "demo",
            [CONTEXTS, *UNGUARDED, *contestant.overrides, f"seed={seed}"],
            earlier=done if contestant.earlier else (),
            retain=split.retain[0::2] if contestant.facts else (),
        )
        done.append(edit)
        took = time.perf_counter() - start
        if number + 1 not in SHOWN:
            continue
        rows.append(measured(asked[: FACTS * (number + 1)]) | {"edits": number + 1, "seconds": took})
        print(f"{contestant.name}: {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Run the contestants and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--edits", type=int, default=20, help="requests of ten facts each")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--only", nargs="*", help="contestants whose name begins with one of these")
    arguments.add_argument("--json", type=Path, help="a file for every number")
    asked = arguments.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for contestant in contestants():
        if asked.only and not contestant.name.startswith(tuple(asked.only)):
            continue
        found[contestant.name] = sequence(contestant, asked.edits, asked.seed)
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    before = next(iter(found.values()))[0]
    rows = [_row("before", before | {"edits": 0}, before["perplexity"])]
    rows += [_row(name, one, each[0]["perplexity"]) for name, each in found.items() for one in each[1:]]
    head = ("solver", "edits", "efficacy", "generalization", "efficacy, first ten", "retained", "perplexity")
    print(table(head, rows))


def _row(name: str, found: dict[str, float], base: float) -> tuple[str, ...]:
    rates = (f"{found[metric]:.1f}" for metric in ("efficacy", "generalization", "first", "retained"))
    return name, f"{found['edits']:.0f}", *rates, f"x {found['perplexity'] / base:.3f}"


if __name__ == "__main__":
    main()
