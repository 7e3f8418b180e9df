"""Moments, factors and spaces at reduced precision, or in blocks, are those of float64 and of the plain formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zu_framework import linalg
from zu_framework.linalg import Factor, MomentAccumulator, factor, moments, ridge, spaces


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spectrum(condition: float, size: int = 40) -> Tensor:
    """A symmetric positive definite matrix of this condition number."""
    turn = torch.linalg.qr(normal(size, size))[0]
    made = turn * torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), size).double() @ turn.T
    return (made + made.T) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_moments_of_float32_products_are_those_of_float64(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(moments, "STRIP", 16)
    monkeypatch.setattr(moments, "ROWS", 100)
    rows = (normal(3000, 40) + 0.5).to(dtype)
    sums = MomentAccumulator(40)
    for batch in torch.split(rows, 700):
        sums.add(batch)
    exact = rows.double().T @ rows.double() / 3000
    assert sums.count == 3000
    assert relative(sums.moment, exact) < (1e-14 if dtype == torch.float64 else 1e-7)
    assert relative(sums.mean, rows.double().mean(0)) < 1e-14
    assert torch.equal(sums.moment, sums.moment.T)


@given(condition=st.floats(1.0, 9e4), n=st.integers(1, 5), seed=st.integers(0, 999))
def test_a_refined_factor_solves_as_float64_does(condition: float, n: int, seed: int) -> None:
    moment, right = spectrum(condition), normal(40, n, seed=seed)
    refined = factor(moment, refined=True)
    assert refined.precision == "float32 refined" and refined.lower.dtype == torch.float32
    assert relative(refined.solve(right), torch.linalg.solve(moment, right)) < 1e-9
    assert relative(factor(moment, torch.float32).solve(right), torch.linalg.solve(moment, right)) > 1e-9


@pytest.mark.parametrize("condition", [1e6, 1e9, 1e11])
def test_an_ill_conditioned_moment_is_factored_in_float64(condition: float) -> None:
    chosen = factor(spectrum(condition), refined=True)
    assert chosen.precision == "float64" and chosen.exact is None
    assert chosen.condition > 1e5


@given(n=st.integers(1, 60), weight=st.floats(0.01, 100), refined=st.booleans(), ranged=st.booleans())
def test_the_blocked_form_equals_the_form_by_requests(
    n: int, weight: float, refined: bool, ranged: bool
) -> None:
    """`weight R C^T (M + weight C C^T)^-1 = R (I/weight + C^T M^-1 C)^-1 C^T M^-1`, for few and for many columns."""
    rows = normal(24, 15) if ranged else normal(24, 50)
    moment = rows @ rows.T / 10 + (0 if ranged else torch.eye(24).double())
    columns = rows @ normal(rows.shape[1], n, seed=1)
    wanted = normal(7, n, seed=2)
    used: Factor = linalg.factor_on_range(moment, rows) if ranged else factor(moment, refined=refined)
    gram, cross = ridge.products(columns, wanted)
    assert torch.allclose(gram, columns @ columns.T)
    blocked = ridge.ridge_map(used, gram, cross, weight)
    solved = used.solve(columns)
    system = torch.eye(n).double() / weight + columns.T @ solved
    assert relative(blocked, wanted @ torch.linalg.solve(system, solved.T)) < 1e-8


def test_columns_are_taken_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, wanted = normal(6, 50).float(), normal(3, 50, seed=1)
    whole = ridge.products(columns, wanted)
    monkeypatch.setattr(ridge, "COLUMNS", 7)
    for ours, theirs in zip(ridge.products(columns, wanted), whole, strict=True):
        assert relative(ours, theirs) < 1e-14
    assert relative(ridge.times(wanted[:, :6], columns), wanted[:, :6] @ columns.double()) < 1e-14


@pytest.mark.parametrize(
    ("rows", "columns", "rank"), [(90, 70, 70), (70, 90, 70), (90, 80, 11), (80, 90, 11)]
)
def test_a_column_space_by_gram_is_that_of_the_singular_decomposition(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, rank: int
) -> None:
    matrix = normal(rows, rank) @ normal(rank, columns, seed=1)
    assert min(rows, columns) >= spaces.BY_GRAM
    ours = linalg.column_space(matrix, 1e-5)
    monkeypatch.setattr(spaces, "BY_GRAM", 10**9)
    theirs = linalg.column_space(matrix, 1e-5)
    assert ours.shape == theirs.shape == (rows, rank)
    assert relative(ours.T @ ours, torch.eye(rank).double()) < 1e-12
    assert relative(ours @ ours.T, theirs @ theirs.T) < 1e-9


@pytest.mark.parametrize("kept", [3, 10, 11, 19, 20])
def test_the_smaller_of_two_bases_is_kept_and_projects_the_same(kept: int) -> None:
    moment = spectrum(1e3, 20)
    space = linalg.null_space(moment, rank=kept)
    vectors = torch.linalg.eigh(moment)[1][:, :kept]
    assert space.rank == kept and space.complement is (kept > 10)
    assert space.basis.shape[1] == min(kept, 20 - kept)
    keys = normal(20, 4)
    assert relative(space.project(keys), vectors @ (vectors.T @ keys)) < 1e-12
