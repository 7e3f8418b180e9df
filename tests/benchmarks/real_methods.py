"""Who contends on the real model, with which settings, and the rule that chooses one.

Editors share a window of layers that write no attention sink and lie below it, fixed contexts, and two neutral texts;
gradient methods train the same weights or the whole model. At most four settings each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.benchmarks.frontier.cells import merged

Config = Mapping[str, Any]

CONTEXTS = {
    "name": "subject-last",
    "contexts": "fixed",
    "templates": ["It is known that {}", "People say: {}", "As we know, {}"],
    "bare_weight": 0.25,
    "cases": [],
    "average": True,
}
TARGET = {
    "name": "neutral-once",
    "lr": 0.5,
    "lr_unit": "absolute",
    "steps": 25,
    "clamp": 0.75,
    "weight_decay": 0.5,
    "kl_weight": 0.0625,
}


@dataclass(frozen=True)
class Method:
    """A contestant and its settings, by a short name each; the first wins a tie."""

    label: str
    settings: Mapping[str, Config]
    kind: str = "editor"


def _grid(
    shared: Config, solver: str, options: Mapping[str, Config], targets: Mapping[str, Config]
) -> dict[str, Config]:
    return {
        f"{how}, {name}": merged(shared, {"target": target, "solver": {"name": solver, **given}})
        for (how, target), (name, given) in product(targets.items(), options.items())
    }


def _weights(*values: float, **more: Any) -> dict[str, Config]:
    return {f"background {v:g}": {"background_weight": v, **more} for v in values}


TEXTS: dict[str, Config] = {
    '".", clamp 0.75': {},
    '" unknown", clamp 1.5': {"text": " unknown", "clamp": 1.5},
}
ROME_TEXTS = {how: {**target, "at": "site"} for how, target in TEXTS.items()}
LETTERS: Config = {
    "collector": {"cases": ["lower", "upper"], "average": False, "substitutes": 10},
    "target": {"clamp": 0.5},
    "solver": {"background_weight": 4000.0, "retain_weight": 10000.0},
}
TEN_STEPS: Config = {"target": {"lr": 0.6, "lr_unit": "radius", "steps": 10, "clamp": 0.55}}
RATES = (("located", 1e-3), ("located", 2e-4), ("all", 3e-5), ("all", 1e-5))

GRADIENT: tuple[tuple[str, str, Config], ...] = (
    ("ft", "FT", {"text": "."}),
    ("ga", "GA", {}),
    ("graddiff", "GradDiff", {"retain_source": "facts"}),
    ("npo", "NPO", {"retain": "kl", "retain_source": "facts"}),
    ("simnpo", "SimNPO", {"retain": "kl", "retain_source": "facts"}),
    ("dpo", "DPO", {"text": ".", "retain": "kl", "retain_source": "facts"}),
    ("rmu", "RMU", {}),
    ("undial", "UNDIAL", {"retain": "kl", "retain_source": "facts"}),
)


def methods(layers: Sequence[int] = (4, 5, 6)) -> dict[str, Method]:
    """All contestants by name, editing these layers; ROME the first or the last of them."""

    def at(*some: int) -> Config:
        return {
            "locator": {"name": "fixed", "layers": list(some)},
            "collector": CONTEXTS,
            "target": {**TARGET, "text": "."},
        }

    here = at(*layers)
    eos = {**here, "target": {**TARGET, "lr": 0.1}}  # without a text: the tokenizer's EOS
    found = {
        "rome": Method(
            "ROME",
            {
                f"layer {layer}, {how}": merged(
                    at(layer), {"target": target, "solver": {"name": "rome", "relative_ridge": 1e-6}}
                )
                for layer in dict.fromkeys((layers[0], layers[-1]))
                for how, target in ROME_TEXTS.items()
            },
        ),
        "memit": Method("MEMIT", _grid(here, "memit", _weights(15000.0, 100.0), TEXTS)),
        "alphaedit": Method(
            "AlphaEdit",
            _grid(
                here,
                "alphaedit",
                {f"energy {e:g}": {"null_energy": e, "l2": 1.0} for e in (0.05, 0.2)},
                TEXTS,
            ),
        ),
        "emmet": Method(
            "EMMET",
            _grid(here, "emmet", {f"ridge {r:g}": {"relative_ridge": r} for r in (1e-6, 0.01)}, TEXTS),
        ),
        "zerounlearn": Method(
            "ZeroUnlearn, published",
            {
                "EOS, background 15000": merged(eos, {"solver": {"name": "zerounlearn"}}),
                **_grid(here, "zerounlearn", _weights(15000.0, 1000.0), {'".", clamp 0.75': {}}),
            },
        ),
        "zerounlearn-gd": Method(
            "ZeroUnlearn-GD",
            _grid(
                here,
                "zerounlearn-gd",
                {f"energy {e:g}": {"null_energy": e, "norm_weight": 1000.0} for e in (0.05, 0.2)},
                TEXTS,
            ),
        ),
    }
    for name, label, more in GRADIENT:
        settings = {
            f"{where}, lr {lr:g}": merged(
                here, {"solver": {"name": name, "train": where, "lr": lr, "steps": 50, **more}}
            )
            for where, lr in RATES
        }
        found[name] = Method(label, settings, "gradient")
    ours = merged(here, {"solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0.0}})
    found["ours"] = Method(
        "ours",
        {
            "clamp 0.75, background 15000": merged(ours, {"solver": {"background_weight": 15000.0}}),
            "clamp 0.4, background 15000": merged(
                ours, {"target": {"clamp": 0.4}, "solver": {"background_weight": 15000.0}}
            ),
            "other letters, retained": merged(ours, LETTERS),
            "other letters, retained, ten steps": merged(merged(ours, LETTERS), TEN_STEPS),
        },
        "ours",
    )
    found["ours-default"] = Method("ours, no setting", {"as it ships": {"target": {"text": "."}}}, "ours")
    return found


def cost(found: Mapping[str, float]) -> float:
    """What the choice minimises: what is still answered, and damage: points of specificity and retained facts lost,
    nats of KL in hundredths, per cents of perplexity beyond one."""
    answered = (found["efficacy"] + found["generalization"]) / 2
    lost = (100 - found["specificity"]) + (100 - found["retained"])
    return answered + lost + 100 * found["kl"] + max(0.0, 100 * (found["perplexity"] - 1.01))
