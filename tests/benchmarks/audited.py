"""The audit of every method on one set of facts: each forgets them, each is attacked in the same way.

    python -m tests.benchmarks.audited OUT --model DIR                  # all methods on SmolLM2, then the table
    python -m tests.benchmarks.audited OUT --model DIR --method ours --anew  # one column again
    python -m tests.benchmarks.audited OUT --try npo simnpo             # candidate settings, measured but not attacked
    python -m tests.benchmarks.audited OUT --demo                       # the embedded model beside its retrained twin
    python -m tests.benchmarks.audited OUT --table

A column lies in OUT/METHOD: a run folder with its audit. What is there is not made again without --anew.
Guards are lifted: a comparison shows damage, it does not prevent it; `guard` in the table says whom they would have
stopped. `--model` is SmolLM2-135M-Instruct, dequantised (docs/results/real-model.md).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zu_framework as zu
from tests.benchmarks.real_methods import methods

Config = Mapping[str, Any]

FACTS, RETAIN = 20, 80
TWIN_LACKS = 10  # facts of the demo
LIFTED, LIMIT = 1e6, 0.75  # of the guard; what it predicts is noted all the same
# targets and what references answer are computed once for all methods
SHARED = ["output.share_targets=true"]
METRICS = ["efficacy", "generalization", "specificity", "retained"]
SHORT = {"train": "located", "steps": 20, "requests_per_step": 10}
RETAIN_FACTS = {"retain": "kl", "retain_source": "facts"}  # those that are measured: it flatters the method
# editors as docs/results/real-model.md chose them on other facts; gradient methods: what forgets these at the least
# damage, of the few settings that were tried
SETTINGS: Mapping[str, Mapping[str, Config]] = {
    **{
        name: {setting: methods()[name].settings[setting]}
        for name, setting in {
            "memit": '".", clamp 0.75, background 100',
            "rome": 'layer 6, " unknown", clamp 1.5',
            "alphaedit": '".", clamp 0.75, energy 0.2',
            "zerounlearn": '".", clamp 0.75, background 15000',
        }.items()
    },
    "ft": {
        "lr 0.001, KL": {"text": ".", "lr": 1e-3, **RETAIN_FACTS},
        "lr 0.0003": {"text": ".", "lr": 3e-4},
        "lr 0.0003, KL": {"text": ".", "lr": 3e-4, **RETAIN_FACTS},
    },
    "npo": {"lr 0.001, KL": {"lr": 1e-3, **RETAIN_FACTS}, "lr 0.0005, KL": {"lr": 5e-4, **RETAIN_FACTS}},
    "simnpo": {
        "lr 0.001, KL, 40 steps": {"lr": 1e-3, "steps": 40, **RETAIN_FACTS},
        "lr 0.001, KL": {"lr": 1e-3, **RETAIN_FACTS},
        "lr 0.0005, KL": {"lr": 5e-4, **RETAIN_FACTS},
    },
    "rmu": {"lr 0.001, 30 steps": {"lr": 1e-3, "steps": 30}, "lr 0.001": {"lr": 1e-3}},
}
LABELS: Mapping[str, str] = {
    "memit": "MEMIT",
    "rome": "ROME",
    "alphaedit": "AlphaEdit",
    "zerounlearn": "ZeroUnlearn",
    "ft": "FT",
    "npo": "NPO",
    "simnpo": "SimNPO",
    "rmu": "RMU",
    "ours": "ours",
    "demo": "demo",
    "twin": "twin",
}
MEASURED = (("Eff", "efficacy"), ("Gen", "generalization"), ("Spe", "specificity"), ("retained", "retained"))


def smollm2_config(name: str, setting: str, model: str) -> Config:
    """The run of a method on the real model: ours as shipped, a rival with its setting; no guard stops either."""
    shared = {
        "model": {"path": model},
        "data": {"forget": FACTS, "retain": RETAIN},
        "evaluate": {"metrics": METRICS},
        "guard": {"text": LIFTED, "facts": LIFTED},
    }
    if name == "ours":
        return {"base": "smollm2", **shared}
    how = SETTINGS[name][setting]
    if "solver" not in how:  # a gradient method: only how it trains
        located = {"locator": {"name": "fixed", "layers": [4, 5, 6]}, "target": {"text": "."}}
        how = {**located, "solver": {"name": name, **SHORT, **how}}
    else:
        how = {**how, "target": {**how["target"], "name": "neutral"}}
    return {"base": "smollm2", **how, **shared}


def made(out: Path, name: str, config: Config) -> zu.RunResult:
    """Run a method into OUT/NAME, in place of what lies there."""
    shutil.rmtree(out / name, ignore_errors=True)
    told = [
        f"output.folder={out}",
        f"output.name={name}",
        *SHARED,
        "output.report=false",
        "report.completions=0",
    ]
    return zu.run(config, told)


def attacked(out: Path, name: str, overrides: Sequence[str], preset: str) -> None:
    report = zu.audit(out / name, preset, [f"audit.forget={FACTS}", *SHARED, *overrides])
    print(f"{name}: {report.verdict}", flush=True)


def tried(out: Path, name: str, model: str) -> None:
    """Print what each candidate setting of a method costs."""
    for setting in SETTINGS[name]:
        made(out, "tried", smollm2_config(name, setting, model))
        print(f"{name}, {setting}: {_costs(out / 'tried')}", flush=True)


def demo(out: Path, preset: str) -> None:
    """The demo's own edit beside its twin, and the twin attacked as if it were an edit."""
    if not (out / "demo").is_dir():
        made(out, "demo", {"base": "demo", "evaluate": {"metrics": METRICS}})
    attacked(out, "demo", [f"audit.forget={TWIN_LACKS}", "evaluate.reference=zu:demo-twin"], preset)
    shutil.rmtree(out / "twin", ignore_errors=True)
    data = [
        "data.name=demo",
        f"data.forget={TWIN_LACKS}",
        f"audit.forget={TWIN_LACKS}",
        "model.dtype=float32",
    ]
    report = zu.audit(
        "zu:demo-twin", preset, [*data, f"output.folder={out}", "output.name=twin"], base="zu:demo"
    )
    print(f"twin: {report.verdict}", flush=True)


def table(out: Path, names: Sequence[str]) -> str:
    """Attacks by methods: percent recovered, and `*` where it is more than chance by the audit's limit."""
    found = {name: _read(out / name) for name in names if (out / name).is_dir()}
    found = {name: audit for name, audit in found.items() if audit}
    lines = [[LABELS[name] for name in found]]
    for label, metric in MEASURED:
        lines.append([label, *(_costs(out / name).get(metric, "-") for name in found)])
    lines.append(["guard", *(_guard(out / name) for name in found)])
    lines.append(["lost of known", *(f"{audit['lost']} of {audit['known']}" for audit in found.values())])
    lines.append(
        [
            "holds under",
            *(audit["verdict"].split(";")[0].removeprefix("holds under ") for audit in found.values()),
        ]
    )
    variants = list(dict.fromkeys(f["variant"] for audit in found.values() for f in audit["findings"]))
    cells = {
        (name, finding["variant"]): finding for name, audit in found.items() for finding in audit["findings"]
    }
    for variant in variants:
        here = [cells.get((name, variant)) for name in found]
        shown = [_cell(finding) for finding in here]
        untouched = next((f["references"].get("untouched") for f in here if f), None)
        beside = f"{untouched['value']:.0f}" if untouched else "-"
        lines.append([variant, *shown, beside])
    head = ["", *lines[0], "untouched"]
    rows = [row if len(row) == len(head) else [*row, ""] for row in lines[1:]]
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        + ["| " + " | ".join(row) + " |" for row in rows]
    )


def _cell(finding: Config | None) -> str:
    if finding is None:
        return ""
    one = finding.get("recovered") or finding.get("answered")
    if not one or one.get("value") is None:
        return "-"
    return f"{one['value']:.0f}" + ("" if finding["holds"] else " *")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "audit" / "metrics.json"
    path = path if path.is_file() else folder / "metrics.json"  # of a model without a run folder
    read: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return read if "findings" in read else {}


def _costs(folder: Path) -> dict[str, str]:
    """What the run measured of its edit, in percent."""
    read = json.loads((folder / "metrics.json").read_text("utf-8")) if folder.is_dir() else {}
    after = read.get("after", {})
    return {
        metric: f"{after[metric]['value']:.0f}"
        for _, metric in MEASURED
        if metric in after and not math.isnan(after[metric]["value"])
    }


def _guard(folder: Path) -> str:
    """Predicted change on other facts in percent, summed over the sites, and `stops` where a limit is passed."""
    read = json.loads((folder / "metrics.json").read_text("utf-8"))
    steps = [step["guard"] for steps in read.get("edit", {}).get("sites", {}).values() for step in steps]
    summed = {what: sum(step.get(what, 0.0) for step in steps) for what in ("text", "facts")}
    if not any(summed.values()):
        return "-"
    return f"{100 * summed['facts']:.0f}" + (" stops" if max(summed.values()) > LIMIT else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--method", nargs="*", default=[])
    parser.add_argument("--try", dest="candidates", nargs="*", default=[])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--anew", action="store_true", help="edit again what is there")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    for name in asked.candidates:
        tried(asked.out, name, asked.model)
    if asked.demo:
        demo(asked.out, asked.preset)
        print(table(asked.out, ["demo", "twin"]))
    elif not asked.candidates:
        if not asked.table:
            for name in asked.method or [*SETTINGS, "ours"]:  # ours last: it is what changes
                if asked.anew or not (asked.out / name).is_dir():
                    made(
                        asked.out,
                        name,
                        smollm2_config(name, next(iter(SETTINGS.get(name, {})), ""), asked.model),
                    )
                attacked(asked.out, name, [], asked.preset)
        print(table(asked.out, [*SETTINGS, "ours"]))


if __name__ == "__main__":
    main()
