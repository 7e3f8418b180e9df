"""The order of things in the loop: what is asked before a pass writes, and what after each write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework import LanguageModel, ReadPlan, Representations, Request, Site, TargetStates
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, load_plugins
from zu_framework.specs import NoOptions, TargetSpec

FORGET = [
    Request("The capital of Quinania is", "Warsaw", subject="Quinania"),
    Request("James Osborn works as a", "doctor", subject="James Osborn"),
]


class Watching(zu.TargetBuilder):
    """Wants nothing of any site, and notes which model it is asked on."""

    prepared: list[tuple[str, int, list[int]]]
    asked: list[tuple[str, int]]

    def __init__(self, options: Any, context: zu.RunContext) -> None:
        pass

    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> str:
        self.prepared.append((lm.fingerprint(), len(plan.requests), [site.layer for site in sites]))
        return lm.fingerprint()

    def at_site(
        self, state: str, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        assert state == self.prepared[-1][0]
        self.asked.append((lm.fingerprint(), index))
        return TargetStates(torch.zeros_like(representations.values))


@pytest.fixture
def watching() -> Plugins:
    plugins = load_plugins()
    Watching.prepared, Watching.asked = [], []

    class Here(Registered):
        def load(self, target: str = "") -> Any:
            return Watching

    plugins.registry.add(Here(TargetSpec("watching", "here:Watching", "of a test", NoOptions), "here"))
    return plugins


@pytest.mark.parametrize("group_size", ["all", 1])
def test_targets_are_prepared_once_a_pass_before_it_writes(
    settings: dict[str, Any], lm: LanguageModel, watching: Plugins, group_size: Any
) -> None:
    config = {
        **settings,
        "locator": {"name": "fixed", "layers": [0, 1]},
        "target": {"name": "watching"},
        "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0, "group_size": group_size},
    }
    untouched = lm.fingerprint()
    with zu.unlearn(lm, None, FORGET, config, plugins=watching):
        edited = lm.fingerprint()
    prepared, asked = Watching.prepared, Watching.asked
    passes = 1 if group_size == "all" else 2
    assert [(count, layers) for _, count, layers in prepared] == [(2 // passes, [0, 1])] * passes
    assert [index for _, index in asked] == [0, 1] * passes
    # each pass begins on the model that the one before left, and its later site sees the earlier one written
    models = [fingerprint for fingerprint, _ in asked]
    assert [fingerprint for fingerprint, _, _ in prepared] == models[::2] and models[0] == untouched
    assert len({*models, edited}) == 2 * passes + 1
