"""Twenty requests of ten facts, one after another, on the embedded model: what is forgotten, what stays.

    python -m tests.benchmarks.sequential
    python -m tests.benchmarks.sequential --edits 5 --only zerounlearn-local memit

Each edit is made on the model that the ones before it left. Forgotten facts come from the second half of the world's
records; no request ever asks to forget one of the first half, which is dealt in turn into facts that a method may
protect and those that `retained` counts. Prints Markdown tables: efficacy and generalization over all facts forgotten
so far (lower is better), the efficacy of the very first ten, retained facts (higher), perplexity as a ratio to the
untouched model. `--json FILE` keeps every number.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import zu_framework as zu
from zu_framework.config import load_config
from zu_framework.engine.run import load_data
from zu_framework.engine.stage import resolve
from zu_framework.evaluation import measure
from zu_framework.registry.manager import installed_plugins

FACTS = 10
SHOWN = (1, 5, 10, 15, 20)
CONTEXTS = "collector.starts=[The,He,At]"  # four contexts a fact, not the demo's twelve: a third of its time
METRICS = ("efficacy", "generalization", "retained", "perplexity")
MEMIT_WEIGHT = (
    50  # the ratio of the demo's own weights (2500 to 50); its published 15000 hardly moves a small model
)


@dataclass(frozen=True)
class Contestant:
    """One row group of the table: overrides over the config `demo`.

    protect, keep: whether earlier edits are protected, and facts to keep.
    """

    name: str
    overrides: list[str] = field(default_factory=list)
    protect: bool = True
    keep: bool = False


def contestants() -> list[Contestant]:
    null = [
        "solver.null_energy=0.05",
        "solver.l2=1",
    ]  # the published rules find no direction in so small a model
    keep = ["solver.retain_weight=10000", "collector.substitutes=10", "solver.zero_weight=0"]
    later = {
        "locator": {"layers": [1, 2]},
        "collector": {
            "name": "prompt-last",
            "contexts": "generated",
            "starts": ["The", "He", "At"],
            "substitutes": 10,
        },
        "target": {"clamp": 0.3, "steps": 25},
    }
    stages = ["target.clamp=0.75", "solver.earlier_weight=50", f"then={json.dumps([later])}"]
    memit = ["solver.name=memit", f"solver.background_weight={MEMIT_WEIGHT}"]
    return [
        Contestant("zerounlearn-local", ["solver.earlier_weight=50"]),
        Contestant("zerounlearn-local, earlier keys not protected", protect=False),
        Contestant("zerounlearn-local, facts kept", ["solver.earlier_weight=50", *keep], keep=True),
        Contestant("zerounlearn-local in two stages, facts kept", [*stages, *keep], keep=True),
        Contestant("memit", memit),
        Contestant("alphaedit", ["solver.name=alphaedit", *null]),
        Contestant("alphaedit, earlier keys not protected", ["solver.name=alphaedit", *null], protect=False),
    ]


def sequence(contestant: Contestant, edits: int, seed: int) -> list[dict[str, float]]:
    """Measurements before any edit and after those of `SHOWN`."""
    plugins = installed_plugins()
    config = load_config("demo", ["data.forget=0", f"seed={seed}"])
    split = load_data(config, resolve(config, plugins))
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
        done.append(
            zu.unlearn(
                lm, lm.tokenizer, requests, "demo", [CONTEXTS, *contestant.overrides, f"seed={seed}"],
                earlier=done if contestant.protect else (),
                retain=split.retain[0::2] if contestant.keep else (),
            )
        )  # fmt: skip
        took = time.perf_counter() - start
        if number + 1 not in SHOWN:
            continue
        rows.append(measured(asked[: FACTS * (number + 1)]) | {"edits": number + 1, "seconds": took})
        print(f"{contestant.name}: {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def table(name: str, rows: list[dict[str, float]], base: float) -> list[str]:
    """The rows of one contestant after the edits shown."""
    lines = []
    for row in rows[1:]:
        lines.append(
            f"| {name} | {row['edits']:.0f} | {row['efficacy']:.1f} | {row['generalization']:.1f} | "
            f"{row['first']:.1f} | {row['retained']:.1f} | x {row['perplexity'] / base:.3f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", type=int, default=20, help="requests of ten facts each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="contestants whose name begins with one of these")
    parser.add_argument("--json", type=Path, help="where every number is kept")
    asked = parser.parse_args()
    kept: dict[str, list[dict[str, float]]] = {}
    chosen = [c for c in contestants() if not asked.only or c.name.startswith(tuple(asked.only))]
    for contestant in chosen:
        kept[contestant.name] = sequence(contestant, asked.edits, asked.seed)
        if asked.json:
            asked.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print("| solver | edits | efficacy | generalization | of the first ten | retained | perplexity |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    before = next(iter(kept.values()))[0]
    print(
        f"| before | 0 | {before['efficacy']:.1f} | {before['generalization']:.1f} | {before['first']:.1f} | "
        f"{before['retained']:.1f} | {before['perplexity']:.2f} |"
    )
    for name, rows in kept.items():
        print("\n".join(table(name, rows, rows[0]["perplexity"])))


if __name__ == "__main__":
    main()
