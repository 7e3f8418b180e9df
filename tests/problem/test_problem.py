"""Requests, problems, backgrounds and updates: what they check, and what an update does to a weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zu_framework import Background, DataError, EditProblem, Request, SolverError, Update
from zu_framework.testing import Shape, edit_problem


def problem(**shape: object) -> EditProblem:
    return edit_problem(Shape(**shape))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1.01])
def test_an_update_is_applied_to_a_copy_to_a_buffer_or_in_place(dtype: torch.dtype, scale: float) -> None:
    made = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 9, generator=made).to(dtype)
    update = Update(torch.randn(6, 2, generator=made), torch.randn(2, 9, generator=made), scale)
    kept = weight.clone()
    after = update.apply(weight)
    assert after.dtype == dtype and torch.equal(weight, kept)
    expected = scale * weight.double() + update.left.double() @ update.right.double()  # type: ignore[union-attr]
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    assert torch.allclose(after.double(), expected, atol=tolerance, rtol=tolerance)
    buffer = torch.empty_like(weight)
    assert update.apply(weight, out=buffer) is not None and torch.equal(buffer, after)
    update.apply(weight, out=weight)
    assert torch.equal(weight, after)


def test_a_dense_update_adds_itself() -> None:
    weight, change = torch.randn(4, 5), torch.randn(4, 5)
    update = Update(dense=change)
    assert not update.exactly_low_rank and update.kind == "dense" and update.shape == (4, 5)
    assert torch.equal(update.apply(weight), weight + change)
    assert torch.equal(update.delta(weight), change.double())
    assert torch.equal(update.apply(weight, out=torch.empty_like(weight)), weight + change)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "either left and right, or dense"),
        ({"left": torch.ones(2, 1)}, "either left and right, or dense"),
        ({"left": torch.ones(2, 1), "right": torch.ones(2, 3)}, "do not share their inner size"),
        ({"dense": torch.ones(2, 3), "scale": 2.0}, "dense Update has scale 1"),
    ],
)
def test_an_update_that_is_none_is_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(SolverError, match=message):
        Update(**parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["weight", "keys", "values", "targets", "sensitive", "bare_keys"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_problem_with_undefined_numbers_is_refused(name: str, value: float) -> None:
    given = problem()
    broken = getattr(given, name).clone()
    broken[0, 0] = value
    with pytest.raises(SolverError, match=f"{name} holds NaN or infinite"):
        replace(given, **{name: broken})


def test_large_numbers_are_not_taken_for_infinite_ones() -> None:
    """Their sum overflows; each of them is finite."""
    given = problem(dtype=torch.float32)
    replace(given, targets=torch.full_like(given.targets, 3e38))


def test_shapes_that_do_not_fit_are_named() -> None:
    given = problem()
    with pytest.raises(SolverError, match=r"targets has shape \(12, 2\), expected \(12, 3\)"):
        replace(given, targets=given.targets[:, :2])
    with pytest.raises(SolverError, match=r"keys must be \(i, n\) with n >= 1"):
        replace(given, keys=given.keys[:, :0])


def test_the_value_moment_follows_from_the_key_moment_and_the_weight() -> None:
    given = problem()
    alone = replace(given, background=Background(given.key_moment))
    expected = given.weight @ given.key_moment @ given.weight.T
    assert torch.allclose(alone.value_moment, expected)
    given.weight.mul_(2)  # nothing was kept of the weight as it was
    assert torch.allclose(alone.value_moment, 4 * expected)
    measured = replace(given, background=Background(given.key_moment, torch.eye(12).double()))
    assert torch.equal(measured.value_moment, torch.eye(12).double())


def test_a_background_hands_out_what_was_asked_for_alone() -> None:
    moment = problem().key_moment
    whole = Background(moment, moment, moment[0], count=7, digests={"key_moment": "a", "value_moment": "b"})
    outputs = whole.only(frozenset({"keys", "value_moment"}))
    assert (
        outputs.given == {"value_moment"} and outputs.digests == {"value_moment": "b"} and outputs.count == 7
    )
    # without a measured value moment, the key moment that it follows from
    assert Background(moment, mean_value=moment[0]).only(frozenset({"value_moment"})).given == {"key_moment"}
    assert Background().only(frozenset({"value_moment"})).given == frozenset()
    for name in ("key_moment", "value_moment", "mean_value"):
        with pytest.raises(SolverError, match=f"holds no {name}"):
            Background().require(name)


def test_a_subject_that_is_not_in_the_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="subject 'Rome' does not occur in prompt"):
        Request("The capital of France is", "Paris", subject="Rome")
    assert Request("a b a", "c", subject="a").subject_start == 4
    assert Request("a b a", "c", subject="a", subject_start=0).subject_end == 1
