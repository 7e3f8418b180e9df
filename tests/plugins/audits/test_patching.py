"""Patching layers one by one: quick and whole agree, on every family that has its own way with keys and values."""

from __future__ import annotations

import warnings

import pytest
import torch

from zu_framework import LanguageModel
from zu_framework.models import Row, answer_row, continuations
from zu_framework.testing import tiny_model
from zu_plugins.audits import patching

FACTS = [
    ("The capital of France is", "Paris"),
    ("Water is made of hydrogen and", "oxygen gas"),
    ("A", "b c d"),
]


def rows_of(lm: LanguageModel) -> list[Row]:
    return [answer_row(lm, prompt, answer) for prompt, answer in FACTS]


def lower_layers_changed(family: str) -> LanguageModel:
    """The tiny model, but for the layers below its last: norm and head at its end are the same."""
    other = tiny_model(family)
    with torch.no_grad():
        for layer in range(other.num_layers - 1):
            block = other.model.get_submodule(f"{other.architecture.layers}.{layer}")
            for parameter in block.parameters():
                parameter.mul_(1.5)
    return other


def scores(lm: LanguageModel, rows: list[Row]) -> torch.Tensor:
    made = continuations(lm, rows)
    return (made.log_probability / made.lengths).detach().double()


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "gemma2"])
def test_after_the_last_layer_the_answers_are_the_other_models(
    family: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is left of the untouched model there is its norm and head, which both models share."""
    lm, other = tiny_model(family), lower_layers_changed(family)
    rows = rows_of(lm)
    if not quick:
        monkeypatch.setattr(patching, "find_readout", lambda lm: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if quick else "ignore")  # the quick way is taken, or its failure said
        (lost,) = patching.costs(lm, rows, [patching.states_of(other, rows)])
    wanted = scores(lm, rows) - scores(other, rows)
    assert bool((wanted.abs() > 1e-3).all())
    assert torch.allclose(lost[:, -1], wanted, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox", "gemma2"])
def test_the_layers_above_give_what_the_whole_model_gives(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, other = tiny_model(family), tiny_model(family)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(1.1)
    rows = rows_of(lm)
    states = patching.states_of(other, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (quick,) = patching.costs(lm, rows, [states])
    monkeypatch.setattr(patching, "find_readout", lambda lm: None)
    with pytest.warns(UserWarning, match="not those of a plain head over a final norm"):
        (whole,) = patching.costs(lm, rows, [states])
    assert torch.allclose(quick, whole, atol=1e-4)
    assert quick.shape == (3, lm.num_layers) and bool((quick.abs() > 1e-4).any())


def test_own_states_cost_nothing() -> None:
    lm = tiny_model("llama")
    rows = rows_of(lm)
    (lost,) = patching.costs(lm, rows, [patching.states_of(lm, rows)])
    assert float(lost.abs().max()) < 1e-5


def astray(above: object, layer: int, patch: object) -> torch.Tensor:
    return torch.zeros(len(FACTS))


def broken(above: object, layer: int, patch: object) -> torch.Tensor:
    raise KeyError("no such layer")


@pytest.mark.parametrize(
    ("score", "why"), [(astray, "differ from the whole model by"), (broken, "KeyError: 'no such layer'")]
)
def test_a_quick_way_that_fails_is_not_taken_and_said(
    score: object, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = tiny_model("llama")
    rows = rows_of(lm)
    states = patching.states_of(lm, rows)
    monkeypatch.setattr(patching._Above, "score", score)
    with pytest.warns(UserWarning, match=f"depth of model type 'llama'.*{why}"):
        (lost,) = patching.costs(lm, rows, [states])
    assert float(lost.abs().max()) < 1e-5
