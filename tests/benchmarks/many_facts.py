"""How forgetting scales with the number of facts: `python -m tests.benchmarks.many_facts [--seeds 3] [--out FILE]`.

Each cell is a run through the front door (`zu.run`), before and after measured; results are kept as JSON lines, and
cells that are there already are not run again. Without `--model` the demo's model and world; `--model`, `--data` and
`--text` name a checkpoint, a CounterFact file and general text. Prints a Markdown table.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import zu_framework as zu
from tests.benchmarks.commands import parser, table

METRICS = ("efficacy", "generalization", "specificity", "retained", "perplexity")
# states that methods have in common are found once
SHARED = ("output.share_targets=true", "output.report=false")
UNIT = 10  # facts that the demo's background weight was chosen for


@dataclass(frozen=True)
class Method:
    """A name for the table, and the overrides that make it; `weight` for UNIT facts where it grows with sqrt n."""

    name: str
    overrides: tuple[str, ...]
    weight: float
    grows: bool = False
    later: tuple[int, ...] = ()

    def options(self, facts: int) -> list[str]:
        """The overrides for this many facts."""
        weight = self.weight * max(facts / UNIT, 1.0) ** 0.5 if self.grows else self.weight
        chosen = [*SHARED, *self.overrides, f"solver.background_weight={weight:g}"]
        if self.later:
            # as the frontier's second stage, with more weight on the background: here facts are many
            then = {
                "locator": {"name": "fixed", "layers": list(self.later)},
                "collector": {"name": "prompt-last", "contexts": "generated", "substitutes": 3},
                "target": {"clamp": 0.3, "steps": 25},
                "solver": {"background_weight": 10 * weight, "retain_weight": 10000, "zero_weight": 0},
            }
            chosen += [f"then={json.dumps([then])}"]
        return chosen


def methods(base: float, later: tuple[int, ...]) -> tuple[Method, ...]:
    """The methods compared, `base` the background weight that suits few facts in key space; later: second stage."""
    key = ("solver.name=zerounlearn-local", "solver.space=key")
    output = ("solver.name=zerounlearn-local", "solver.space=output")
    groups, staged = (*key, "solver.group_size=25"), (*key, "target.clamp=0.75", "solver.zero_weight=0")
    return (
        Method("`zerounlearn`", ("solver.name=zerounlearn",), base),
        Method("`zerounlearn-local`, output space", output, base),
        Method("`zerounlearn-local`, key space", key, base),
        Method("key space, weight grows with sqrt n", key, base, grows=True),
        Method("key space in two stages, weights grow with sqrt n", staged, base, grows=True, later=later),
        Method("key space, groups of 25", groups, base),
        Method("key space, groups of 25, weight grows with sqrt n", groups, base, grows=True),
        # the same trade: forget_weight is 50
        Method("`memit`", ("solver.name=memit", "solver.relative_ridge=1e-6"), base / 50),
    )


def main() -> None:
    """Run what is missing, then print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--model")
    arguments.add_argument("--data")
    arguments.add_argument("--text")
    arguments.add_argument("--facts", type=int, nargs="+", default=[10, 50, 150])
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--weight", type=float, default=2500.0, help="background weight for few facts")
    arguments.add_argument("--out", type=Path, default=Path("many-facts.jsonl"))
    chosen = arguments.parse_args()
    base, common = ("demo", []) if not chosen.model else ("zerounlearn-local", _real(chosen))
    done = list(_read(chosen.out))
    for facts in chosen.facts:
        for seed in range(chosen.seeds):
            for method in methods(chosen.weight, (2, 3, 4) if chosen.model else (1, 2)):
                key = {"method": method.name, "facts": facts, "seed": seed}
                if any({k: d[k] for k in key} == key for d in done):
                    continue
                entry = {**key, **_cell(base, [*common, *method.options(facts)], facts, seed)}
                done.append(entry)
                with chosen.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entry) + "\n")
    print(shown(done))


def _real(chosen: Any) -> list[str]:
    return [
        f"model.path={chosen.model}",
        f"data.path={chosen.data}",
        "data.protocol=all",
        f"background.path={chosen.text}",
        "locator.name=fixed",
        "locator.layers=[1,2,3]",
        "collector.cases=[]",
        "collector.average=true",
        'target.text=" unknown"',
        "guard.text=null",  # a comparison shows damage, it does not prevent it
        "guard.facts=null",
        "target.lr=0.5",
        "target.lr_unit=absolute",
        "target.steps=25",
        "collector.contexts=generated",
        "collector.bare_weight=0.09",
        'collector.starts=[The, A, He, There, At, In, It, They, She, "On"]',
    ]


def _cell(base: str, overrides: Sequence[str], facts: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        try:
            result = zu.run(
                base, [*overrides, f"data.forget={facts}", f"seed={seed}", f"output.folder={folder}"]
            )
        except zu.ZuError as refused:
            return {"error": str(refused)}
        took = time.perf_counter() - begin
        seconds = sum(s for phase, s in result.seconds.items() if phase not in ("measure", "load"))
        seconds += sum(result.edit.report["saved_seconds"].values())  # what another run had found already
    before, after = result.before, result.after
    values = {m: after[m].value for m in METRICS if m in after and m != "perplexity"}
    return {
        **values,
        "perplexity": after["perplexity"].value / before["perplexity"].value,
        "edit_seconds": seconds,
        "seconds": took,
    }


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text("utf-8").splitlines())


def shown(done: Sequence[dict[str, Any]]) -> str:
    """A row a method and number of facts, means over seeds; a refusal is shown as one."""
    rows = []
    for name, facts in dict.fromkeys((d["method"], d["facts"]) for d in done):
        cells = [d for d in done if (d["method"], d["facts"]) == (name, facts)]
        sound = [d for d in cells if "error" not in d]
        if not sound:
            rows.append((name, str(facts), f"refused: {cells[0]['error'][:60]}", *[""] * 5))
            continue
        rates = [f"{_mean(sound, metric):.1f}" for metric in METRICS[:-1]]
        ratio, seconds = f"x {_mean(sound, 'perplexity'):.3f}", f"{_mean(sound, 'edit_seconds'):.1f}"
        rows.append((name, str(facts), *rates, ratio, seconds))
    return table(("method", "facts", *METRICS, "edit, s"), rows)


def _mean(cells: Sequence[dict[str, Any]], key: str) -> float:
    values = [cell[key] for cell in cells if key in cell]
    return fmean(values) if values else float("nan")


if __name__ == "__main__":
    main()
