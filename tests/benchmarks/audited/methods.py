"""What is forgotten where, by whom: every method's settings on the real model and on the embedded one.

A method's first setting is the one that is attacked; `--try` measures all of them. Guards are lifted: a comparison
shows damage, it does not prevent it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import real_methods
from tests.benchmarks.frontier import methods as frontier
from tests.benchmarks.frontier.cells import AVERAGED, STEPS, merged

Config = Mapping[str, Any]

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
    "alike": "ours, chosen alike",
    "twin": "twin",
}
METRICS = ["efficacy", "generalization", "specificity", "retained"]
UNGUARDED = {"text": 1e6, "facts": 1e6}  # what the guard predicts is noted all the same


@dataclass(frozen=True)
class World:
    """A model and the facts that every method is to forget in it.

    Args:
        facts: How many, the same for every method.
        runs: Method -> setting -> the config of a run.
        overrides: Of every audit.
        base: The untouched model.
        twin: A model retrained without the facts, reference of every audit, and attacked too; "" without one.
        data: Overrides that name model dtype and facts where there is no run to know them.
    """

    facts: int
    runs: Mapping[str, Mapping[str, Config]]
    base: str
    overrides: tuple[str, ...] = ()
    twin: str = ""
    data: tuple[str, ...] = ()


# editors as docs/results/real-model.md chose them on other facts
EDITORS = {
    "memit": '".", clamp 0.75, background 100',
    "rome": 'layer 6, " unknown", clamp 1.5',
    "alphaedit": '".", clamp 0.75, energy 0.2',
    "zerounlearn": '".", clamp 0.75, background 15000',
}
SHORT = {"train": "located", "steps": 20, "requests_per_step": 10}
RETAIN_FACTS = {"retain": "kl", "retain_source": "facts"}  # those that are measured: it flatters the method
# gradient methods: what forgets these facts at the least damage, of the few settings that were tried
TRAINED: Mapping[str, Mapping[str, Config]] = {
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


def smollm2(model: str) -> World:
    """Twenty facts of the packaged set in the real model: ours as shipped, a rival with its setting."""
    shared = {
        "base": "smollm2",
        "model": {"path": model},
        "data": {"forget": 20, "retain": 80},
        "evaluate": {"metrics": METRICS},
        "guard": UNGUARDED,
    }
    here = {"locator": {"name": "fixed", "layers": [4, 5, 6]}, "target": {"text": "."}}
    runs: dict[str, dict[str, Config]] = {}
    for name, setting in EDITORS.items():
        how = real_methods.methods()[name].settings[setting]
        runs[name] = {setting: {**how, "target": {**how["target"], "name": "neutral"}, **shared}}
    for name, settings in TRAINED.items():
        runs[name] = {
            setting: {**here, "solver": {"name": name, **SHORT, **how}, **shared}
            for setting, how in settings.items()
        }
    runs["ours"] = {"as it ships": shared}
    return World(20, runs, model)


# docs/results/frontier.md's grid: the cheapest setting that leaves at most a tenth of other facts answered (the first
# half of the world's, two draws of eight)
ON_THE_DEMO = {
    "memit": ("memit", "early, background 2"),
    "rome": ("rome", "layer 0, published target"),
    "alphaedit": ("alphaedit", "early, energy 0.2"),
    "zerounlearn": ("zerounlearn", "early, background 100"),
    "ft": ("ft", "lr 0.001, 50 steps"),
    "alike": ("local-key", "early, background 1000, zero 0"),
}
# no setting of theirs does: the solver's defaults at the demo's layer (docs/results/demo.md)
BY_DEFAULT = ("npo", "simnpo", "rmu")
# of relearning: the default one, which suits larger models, hardly moves this one
STEP_SIZES = "audit.options.relearn.lr=[0.001, 0.0003, 0.0001, 0.00002]"


def demo() -> World:
    """The ten facts that the twin was never told: rivals as the frontier chose them, ours so and as it ships."""
    shared = {"evaluate": {"metrics": METRICS}, "guard": UNGUARDED}
    world = {
        "base": "zerounlearn-local",
        "model": {"path": "zu:demo", "dtype": "float32"},
        "data": {"name": "demo", "forget": 10},
        "collector": AVERAGED,
        "background": {"name": "demo"},
        "target": {**STEPS, "text": " unknown"},
    }
    contestants = frontier.methods("demo")
    runs: dict[str, dict[str, Config]] = {
        name: {setting: {**merged(world, contestants[method].settings[setting]), **shared}}
        for name, (method, setting) in ON_THE_DEMO.items()
    }
    runs |= {name: {"defaults": {"base": "demo", "solver": {"name": name}, **shared}} for name in BY_DEFAULT}
    runs["ours"] = {"as it ships": {"base": "demo", **shared}}
    return World(
        facts=10,
        runs=runs,
        base="zu:demo",
        overrides=(STEP_SIZES,),
        twin="zu:demo-twin",
        data=("data.name=demo", "data.forget=10", "model.dtype=float32"),
    )
