"""One cell: forget, measure, revert."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

import zu_framework as zu
from tests.benchmarks.frontier.worlds import Drawn, World
from zu_framework.evaluation import measure
from zu_framework.registry.manager import Plugins, load_plugins
from zu_plugins.metrics import answers
from zu_plugins.metrics.perplexity import perplexity

METRICS = {
    "efficacy": answers.efficacy,
    "generalization": answers.generalization,
    "specificity": answers.specificity,
    "retained": answers.retained,
    "answer_probability": answers.answer_probability,
    "perplexity": perplexity,
}


@cache
def plugins() -> Plugins:
    """The installed plugins and the remembering target builder."""
    found = list(importlib.metadata.entry_points(group="zu_framework"))
    ours = EntryPoint("frontier", "tests.benchmarks.frontier.once", "zu_framework")
    return load_plugins([*found, ours])


def measured(world: World, drawn: Drawn) -> dict[str, float]:
    found = measure(world.lm, drawn.data, METRICS, batch_size=64)
    return {name: m.value for name, m in found.items()}


# every method reads a key a fact, the mean over contexts, as those that are compared have it
AVERAGED = {"name": "subject-last", "cases": [], "average": True}
# and finds states by steps of the published kind
STEPS = {"name": "neutral", "lr": 0.5, "lr_unit": "absolute", "steps": 25}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A config's groups, one level deep; a group that names another component starts afresh."""
    out = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for group, options in over.items():
        if isinstance(options, Mapping) and isinstance(out.get(group), Mapping):
            old = out[group]
            fresh = "name" in options and options["name"] != old.get("name")
            out[group] = dict(options) if fresh else {**old, **options}
        else:
            out[group] = options
    return out


def run_cell(world: World, drawn: Drawn, config: Mapping[str, Any], seed: int) -> dict[str, float]:
    """What is measured after forgetting under `config` (over the world's own); the model is as it was afterwards."""
    # a comparison shows damage, it does not prevent it
    unguarded = {"guard": {"text": None, "facts": None}}
    averaged = {"base": "zerounlearn-local", "collector": AVERAGED, "target": STEPS, **unguarded}
    whole = merged(merged(averaged, world.config), config) | {"seed": seed}
    start = time.perf_counter()
    edit = zu.unlearn(
        world.lm, world.lm.tokenizer, drawn.data.forget, whole, retain=drawn.retain, plugins=plugins()
    )
    seconds = time.perf_counter() - start
    try:
        return measured(world, drawn) | {"seconds": seconds}
    finally:
        edit.revert()
