"""Patching layers one by one: quick and whole agree, on every family that has its own way with keys and values."""

from __future__ import annotations

import pytest
import torch

from zu_framework.models import Row, encode_answer, encode_prompt
from zu_framework.testing import tiny_model
from zu_plugins.audits import patching

FACTS = [
    ("The capital of France is", "Paris"),
    ("Water is made of hydrogen and", "oxygen gas"),
    ("A", "b c d"),
]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "gemma2"])
def test_the_layers_above_give_what_the_whole_model_gives(family: str) -> None:
    lm, other = tiny_model(family), tiny_model(family)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.1)
    rows = [Row((ids := encode_prompt(lm, p).ids), len(ids) - 1, encode_answer(lm, a)) for p, a in FACTS]
    states = patching.states_of(other, rows)
    above = patching._above(lm, rows, states)
    assert above is not None
    whole = patching._each_whole(lm, rows, states)
    assert torch.allclose(above(states), whole, atol=1e-4)
    (lost,) = patching.costs(lm, rows, [states])
    assert lost.shape == (3, lm.num_layers) and bool((lost.abs() > 1e-4).any())


def test_own_states_cost_nothing() -> None:
    lm = tiny_model("llama")
    rows = [Row((ids := encode_prompt(lm, p).ids), len(ids) - 1, encode_answer(lm, a)) for p, a in FACTS]
    (lost,) = patching.costs(lm, rows, [patching.states_of(lm, rows)])
    assert float(lost.abs().max()) < 1e-5


def test_a_quick_way_that_disagrees_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    rows = [Row((ids := encode_prompt(lm, p).ids), len(ids) - 1, encode_answer(lm, a)) for p, a in FACTS]
    states = patching.states_of(lm, rows)
    score = patching._Above.score
    monkeypatch.setattr(patching._Above, "score", lambda *given: score(*given) + 1)
    assert patching._above(lm, rows, states) is None
    (lost,) = patching.costs(lm, rows, [states])
    assert float(lost.abs().max()) < 1e-5
