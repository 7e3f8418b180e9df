"""Predicted changes against the dense formulas, for every form of an update."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zu_framework.linalg import change_on_keys, change_on_text
from zu_framework.problem import Background, Update


def made(seed: int, outputs: int, inputs: int) -> tuple[Tensor, Tensor, torch.Generator]:
    draw = torch.Generator().manual_seed(seed)
    keys = torch.randn(inputs, 3 * inputs, generator=draw, dtype=torch.float64)
    weight = torch.randn(outputs, inputs, generator=draw, dtype=torch.float64)
    return weight, keys @ keys.T / keys.shape[1], draw


def dense(weight: Tensor, update: Update, moment: Tensor) -> float:
    delta = update.delta(weight)
    return float((delta @ moment @ delta.T).trace() / (weight @ moment @ weight.T).trace()) ** 0.5


sizes = {
    "seed": st.integers(0, 99),
    "outputs": st.integers(1, 6),
    "more": st.integers(0, 5),
    "rank": st.integers(1, 3),
}


@given(**sizes, scale=st.sampled_from([1.0, 1.01, 0.5]))
def test_factored_and_dense_updates_under_the_key_moment(
    seed: int, outputs: int, more: int, rank: int, scale: float
) -> None:
    weight, moment, draw = made(seed, outputs, outputs + more)
    left, right = (
        torch.randn(*s, generator=draw, dtype=torch.float64)
        for s in ((outputs, rank), (rank, outputs + more))
    )
    background = Background(key_moment=moment)
    factored = Update(left, right, scale)
    assert change_on_text(weight, factored, background) == pytest.approx(
        dense(weight, factored, moment), rel=1e-8
    )
    whole = Update(dense=factored.delta(weight))
    assert change_on_text(weight, whole, background) == pytest.approx(
        dense(weight, factored, moment), rel=1e-8
    )


@given(**sizes, scale=st.sampled_from([1.0, 1.01]))
def test_a_map_of_outputs_under_the_value_moment(
    seed: int, outputs: int, more: int, rank: int, scale: float
) -> None:
    weight, moment, draw = made(seed, outputs, outputs + more)
    left, solved = (torch.randn(outputs, rank, generator=draw, dtype=torch.float64) for _ in range(2))
    update = Update(left, solved.T @ weight, scale)
    background = Background(value_moment=weight @ moment @ weight.T)
    assert change_on_text(weight, update, background) == pytest.approx(
        dense(weight, update, moment), rel=1e-5
    )


def test_what_no_moment_says_is_not_predicted() -> None:
    weight, moment, draw = made(0, 3, 5)
    update = Update(torch.randn(3, 1, generator=draw).double(), torch.randn(1, 5, generator=draw).double())
    assert change_on_text(weight, update, Background()) is None
    assert change_on_text(weight, update, Background(value_moment=weight @ moment @ weight.T)) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_changes_at_keys_are_those_of_the_written_weight(dtype: torch.dtype) -> None:
    weight, _, draw = made(1, 4, 6)
    weight, keys = weight.to(dtype), torch.randn(6, 5, generator=draw)
    update = Update(torch.randn(4, 2, generator=draw), torch.randn(2, 6, generator=draw), 1.1)
    delta = update.delta(weight)
    wanted = (delta @ keys.double()).norm(dim=0) / (weight.double() @ keys.double()).norm(dim=0)
    assert change_on_keys(weight, update, keys) == pytest.approx(wanted.tolist(), rel=1e-4)
    assert change_on_keys(weight, Update(dense=delta), keys) == pytest.approx(wanted.tolist(), rel=1e-4)
