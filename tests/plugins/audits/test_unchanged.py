"""Every attack leaves the model as it was, to the bit, also when it fails half-way."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from tests.plugins.audits.conftest import World
from zu_framework import LanguageModel
from zu_framework.errors import ZuError

# attack -> where it fails, how often that is called before, and its options
HALF_WAY: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "quantize": ("quantize", "asked", 1, {"schemes": ["int8", "q4_0"]}),
    "relearn": ("relearn", "exact", 1, {"texts": ["related"], "steps": 4, "points": 4}),
    "relearn-lora": ("relearn", "exact", 1, {"texts": ["half"], "steps": 4, "points": 4, "train": "lora"}),
    "sample": ("sample", "stands_in", 5, {"k": 2, "draws": 8, "tokens": 2, "paraphrases": False}),
    "context": ("incontext", "best_of", 0, {"ways": ["hint"]}),
    "wording": ("wording", "Outcome", 1, {"ways": ["paraphrases", "spelling"]}),
    "lens": ("lens", "read_states", 1, {}),
    "depth": ("depth", "remaining", 2, {}),
    "depth-patched": ("patching", "_whole", 1, {}),
    "prune": ("prune", "asked", 1, {"shares": [0.1, 0.3]}),
    "noise": ("prune", "asked", 1, {"sizes": [0.03], "draws": 2}),
    "detect": ("detect", "asked", 0, {}),
}


def state(lm: LanguageModel) -> tuple[Any, ...]:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())
    asking = [(parameter.requires_grad, parameter.grad is None) for parameter in lm.model.parameters()]
    return lm.state_digest(), hooks, asking, lm.model.training, torch.get_rng_state().tolist()


@pytest.mark.parametrize("case", HALF_WAY)
def test_a_failure_half_way_leaves_the_model_as_it_was(
    world: World, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, _ = case.partition("-")
    room, function, passes, options = HALF_WAY[case]
    module = importlib.import_module(f"zu_plugins.audits.{room}")
    own, calls, before = getattr(module, function), [0], state(world.base)

    def broken(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] > passes:
            raise ZuError("half-way")
        return own(*given, **named)

    monkeypatch.setattr(module, function, broken)
    with pytest.raises(ZuError, match="half-way"):
        world.attack(name, world.base, **options)
    assert state(world.base) == before
