"""The contestants: what each may try, four settings each, and the rule that chooses one.

Two sets of shared settings (layers, contexts, target) stand in every editor's grid, so that none is held to what suits
another. Solvers that are not editors choose learning rate and length instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tests.benchmarks.frontier.cells import merged

Config = Mapping[str, Any]

STARTS = ["The", "A", "He", "There", "At", "In", "It", "They", "She", "On"]
CONTEXTS = {"name": "subject-last", "contexts": "generated", "starts": STARTS, "bare_weight": 1 / 11}
PUBLISHED_TARGET = {"lr": 0.5, "steps": 25, "clamp": 0.75, "weight_decay": 0.5, "kl_weight": 0.0625}
PROMPT_LAST = {**CONTEXTS, "name": "prompt-last"}
LONG_TARGET = {"lr": 0.5, "steps": 40, "clamp": 1.0, "weight_decay": 0.1, "kl_weight": 0.0}


@dataclass(frozen=True)
class Method:
    """A contestant: its settings, by a short name each, the first of which is tried first; and how it is drawn.

    report: false for one that is only looked at, on the choosing half.
    """

    label: str
    settings: Mapping[str, Config]
    kind: str = "editor"
    report: bool = field(default=True)


def _layers(*layers: int) -> Config:
    return {"locator": {"name": "fixed", "layers": list(layers)}}


def shared(world: str) -> dict[str, Config]:
    """The two sets of shared settings of a world: as published, and as the diagnosis of generalization suggests."""
    early, late = ((0,), (1,)) if world == "demo" else ((0, 1, 2), (1, 2, 3))
    return {
        "late": {**_layers(*late), "collector": CONTEXTS, "target": PUBLISHED_TARGET},
        "early": {**_layers(*early), "collector": CONTEXTS, "target": LONG_TARGET},
    }


def methods(world: str) -> dict[str, Method]:
    """All contestants of a world, by name."""
    sets = shared(world)

    def grid(solver: str, options: Mapping[str, Config], base: Config | None = None) -> dict[str, Config]:
        return {
            f"{where}, {name}": merged(merged(common, base or {}), {"solver": {"name": solver, **given}})
            for (where, common), (name, given) in product(sets.items(), options.items())
        }

    def weights(*values: float, **more: Any) -> dict[str, Config]:
        return {f"background {v:g}": {"background_weight": v, **more} for v in values}

    one = {"late": _layers(1), "early": _layers(0)}
    rome = {
        f"layer {common['locator']['layers'][0]}, {name}": merged(
            merged(sets["late"], common), {"target": {**target, "at": "site"}, "solver": {"name": "rome"}}
        )
        for common in one.values()
        for name, target in (("published target", PUBLISHED_TARGET), ("long target", LONG_TARGET))
    }
    found = {
        "rome": Method("ROME", rome),
        "memit": Method("MEMIT", grid("memit", weights(2.0, 100.0))),
        "alphaedit": Method(
            "AlphaEdit",
            grid("alphaedit", {f"energy {e:g}": {"null_energy": e, "l2": 1.0} for e in (0.05, 0.2)}),
        ),
        "emmet": Method("EMMET", grid("emmet", {"no ridge": {}, "ridge 0.01": {"relative_ridge": 0.01}})),
        "leace": Method(
            "projection alone", grid("leace", {p: {"projection": p} for p in ("orthogonal", "oblique")})
        ),
        "zerounlearn-published": Method(
            "ZeroUnlearn, published weights",
            {"late, background 15000": merged(sets["late"], {"solver": {"name": "zerounlearn"}})},
        ),
        "zerounlearn": Method("ZeroUnlearn", grid("zerounlearn", weights(100.0, 10000.0))),
        "zerounlearn-gd": Method(
            "ZeroUnlearn-GD",
            grid(
                "zerounlearn-gd",
                {f"energy {e:g}": {"null_energy": e, "norm_weight": 1000.0} for e in (0.05, 0.2)},
            ),
        ),
        "local-output": Method(
            "ours, output space",
            grid(
                "zerounlearn-local",
                {
                    f"zero {z:g}": {"space": "output", "background_weight": 1000.0, "zero_weight": z}
                    for z in (0.0, 50.0)
                },
            ),
            "ours",
        ),
        "local-key": Method(
            "ours, key space",
            {
                f"early, background {b:g}, zero {z:g}": merged(
                    sets["early"],
                    {
                        "solver": {
                            "name": "zerounlearn-local",
                            "space": "key",
                            "background_weight": b,
                            "zero_weight": z,
                        }
                    },
                )
                for b, z in ((1000.0, 0.0), (1000.0, 50.0), (10000.0, 50.0), (1000.0, 200.0))
            },
            "ours",
        ),
    }
    found |= _two_stages(world, sets["early"])
    found |= {
        name: Method(label, _trained(name, sets["late"], more), "gradient") for name, label, more in GRADIENT
    }
    found["sweep"] = Method("ours, one setting at a time", _sweep(world, sets["early"]), "ours", report=False)
    return found


def _sweep(world: str, early: Config) -> dict[str, Config]:
    """Settings of `zerounlearn-local`, each changed alone. Weights count by their ratios: one of the three is held."""
    here = {"background_weight": 1000.0, "forget_weight": 50.0, "zero_weight": 50.0, "space": "key"}
    layers = ((0,), (1,), (0, 1), (1, 2)) if world == "demo" else ((0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4))

    def with_solver(**changed: Any) -> Config:
        return merged(early, {"solver": {"name": "zerounlearn-local", **here, **changed}})

    found = {"as it is": with_solver(), "space output": with_solver(space="output")}
    found |= {f"background {b:g}": with_solver(background_weight=b) for b in (1.0, 100.0, 10000.0)}
    found |= {f"forget {f:g}": with_solver(forget_weight=f) for f in (5.0, 500.0)}
    found |= {f"zero {z:g}": with_solver(zero_weight=z) for z in (0.0, 10.0, 200.0, 1000.0)}
    found |= {f"rank tolerance {t:g}": with_solver(rank_tolerance=t) for t in (0.3, 0.6, 0.9)}
    found |= {
        f"layers {', '.join(map(str, some))}": merged(with_solver(), _layers(*some))
        for some in layers
        if list(some) != early["locator"]["layers"]
    }
    found |= {f"clamp {c:g}": merged(with_solver(), {"target": {"clamp": c}}) for c in (0.5, 0.75, 1.5)}
    return found


GRADIENT: tuple[tuple[str, str, Config], ...] = (
    ("ft", "FT", {"text": " unknown"}),
    ("ga", "GA", {}),
    ("graddiff", "GradDiff", {"retain_source": "facts"}),
    ("npo", "NPO", {}),
    ("simnpo", "SimNPO", {}),
    ("dpo", "DPO", {"text": " unknown"}),
    ("rmu", "RMU", {}),
    ("undial", "UNDIAL", {}),
    ("wga", "WGA", {}),
)


def _two_stages(world: str, early: Config) -> dict[str, Method]:
    """A short state at the subject in the first layers; then one at the prompt's end, where the first has left a mark.

    Any editor may do so: MEMIT stands beside ours, which also retains facts.
    """
    narrow, wide, later = ((0,), (0, 1), (1, 2)) if world == "demo" else ((0, 1), (0, 1, 2), (2, 3, 4))

    def staged(
        layers: tuple[int, ...], clamp: float, one: Config, two: Config, substitutes: int = 0
    ) -> Config:
        then = {
            **_layers(*later),
            "collector": {**PROMPT_LAST, "substitutes": substitutes},
            "target": {**PUBLISHED_TARGET, "clamp": 0.3},
            "solver": two,
        }
        first = {**_layers(*layers), "target": {"clamp": clamp}, "solver": one}
        return {**merged(early, first), "then": [then]}

    def local(layers: tuple[int, ...], clamp: float, first: float, zero: float, substitutes: int) -> Config:
        key = {"name": "zerounlearn-local", "space": "key", "zero_weight": 0.0, "background_weight": first}
        two = {"background_weight": 1e3, "retain_weight": 1e5, "zero_weight": zero}
        return staged(layers, clamp, key, two, substitutes)

    def memit(layers: tuple[int, ...], first: float, second: float) -> Config:
        return staged(
            layers, 0.75, {"name": "memit", "background_weight": first}, {"background_weight": second}
        )

    ours = (
        (narrow, 0.75, 1e4, 0.0, 10),
        (narrow, 0.75, 1e4, 50.0, 10),
        (narrow, 1.0, 1e4, 0.0, 20),
        (wide, 0.75, 1e3, 0.0, 10),
    )
    theirs = ((narrow, 200.0, 20.0), (narrow, 20.0, 20.0), (wide, 20.0, 200.0), (wide, 2.0, 200.0))
    return {
        "memit-two": Method(
            "MEMIT, two stages",
            {
                f"first {len(layers)}, background {a:g} then {b:g}": memit(layers, a, b)
                for layers, a, b in theirs
            },
        ),
        "local-two": Method(
            "ours, two stages",
            {
                f"first {len(layers)}, clamp {c:g}, background {b:g}, zero {z:g}, substitutes {k}": local(
                    layers, c, b, z, k
                )
                for layers, c, b, z, k in ours
            },
            "ours",
        ),
    }


def _trained(name: str, common: Config, more: Config) -> dict[str, Config]:
    return {
        f"lr {lr:g}, {steps} steps": merged(
            common, {"solver": {"name": name, "lr": lr, "steps": steps, **more}}
        )
        for lr, steps in product((0.0003, 0.001), (15, 50))
    }


def cost(after: Mapping[str, float], before: Mapping[str, float]) -> float:
    """What the choice minimises: half of what is still answered, prompts and paraphrases, and three for each point of
    damage beyond the allowance (a point of specificity, a point of retained facts, five per cent of perplexity)."""
    answered = (after["efficacy"] + after["generalization"]) / 2
    damage = sum(max(0.0, before[m] - after[m] - 1) for m in ("specificity", "retained"))
    worse = max(0.0, 100 * (after["perplexity"] / before["perplexity"] - 1.05))
    return answered + 3 * (damage + worse)
