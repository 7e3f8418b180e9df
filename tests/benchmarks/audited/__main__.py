"""The audit of every method on one set of facts: each forgets them, each is attacked in the same way.

    python -m tests.benchmarks.audited OUT --model DIR                  # all methods on SmolLM2, then the table
    python -m tests.benchmarks.audited OUT --model DIR --method ours --anew  # one column again
    python -m tests.benchmarks.audited OUT --model DIR --try npo simnpo # candidate settings, measured but not attacked
    python -m tests.benchmarks.audited OUT --demo                       # the embedded model, and its twin
    python -m tests.benchmarks.audited OUT --table

A column lies in OUT/METHOD, of the embedded model in OUT/demo/METHOD: a run folder with its audit. What is there is not
made again without --anew. `guard` in the table says whom the guard would have stopped. `--model` is
SmolLM2-135M-Instruct, dequantised (docs/results/real-model.md).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import zu_framework as zu
from tests.benchmarks.audited.methods import LABELS, METRICS, Config, World, demo, smollm2
from tests.benchmarks.audited.table import costs, table

# targets and what references answer are computed once for all methods
SHARED = ("output.share_targets=true",)


def edited(out: Path, name: str, config: Config) -> zu.RunResult:
    """Run a method into OUT/NAME, in place of what lies there."""
    shutil.rmtree(out / name, ignore_errors=True)
    place = (f"output.folder={out}", f"output.name={name}", "output.report=false", "report.completions=0")
    return zu.run(config, [*place, *SHARED])


def tried(out: Path, name: str, world: World) -> None:
    """Print what each candidate setting of a method costs."""
    for setting, config in world.runs[name].items():
        edited(out, "tried", config)
        print(f"{name}, {setting}: {costs(out / 'tried')}", flush=True)


def column(out: Path, name: str, world: World, preset: str, *, anew: bool) -> None:
    """Edit by a method, unless that is done, and attack."""
    if anew or not (out / name).is_dir():
        edited(out, name, next(iter(world.runs[name].values())))
    beside = [f"evaluate.reference={world.twin}"] if world.twin else []
    report = zu.audit(out / name, preset, [f"audit.forget={world.facts}", *beside, *SHARED, *world.overrides])
    print(f"{name}: {report.verdict}", flush=True)


def twin(out: Path, world: World, preset: str) -> None:
    """Measure and attack the retrained model as if it were an edit, with no other twin to compare with."""
    shutil.rmtree(out / "twin", ignore_errors=True)
    metrics = f"evaluate.metrics=[{', '.join(METRICS)}]"
    zu.evaluate(world.twin, "demo", [*world.data, metrics, f"output.folder={out}", "output.name=twin"])
    place = (f"output.folder={out / 'twin'}", "output.name=audit", f"audit.forget={world.facts}")
    report = zu.audit(world.twin, preset, [*world.data, *place, *SHARED, *world.overrides], base=world.base)
    print(f"twin: {report.verdict}", flush=True)


def attacked(out: Path, names: Sequence[str], world: World, preset: str, *, anew: bool) -> None:
    """Make every column that is asked for."""
    for name in names:
        if name == "twin":
            twin(out, world, preset)
        else:
            column(out, name, world, preset, anew=anew)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="zu:smollm2")
    parser.add_argument("--method", nargs="*", default=[])
    parser.add_argument("--try", dest="candidates", nargs="*", default=[])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--anew", action="store_true", help="edit again what is there")
    parser.add_argument("--demo", action="store_true", help="the embedded model and its twin")
    parser.add_argument("--table", action="store_true", help="print what is there")
    asked = parser.parse_args()
    out = asked.out / "demo" if asked.demo else asked.out
    world = demo() if asked.demo else smollm2(asked.model)
    columns = [name for name in LABELS if name in world.runs or (name == "twin" and world.twin)]
    for name in asked.candidates:
        tried(out, name, world)
    if asked.candidates:
        return
    if not asked.table:
        attacked(out, asked.method or columns, world, asked.preset, anew=asked.anew)
    print(table(out, columns))


if __name__ == "__main__":
    main()
