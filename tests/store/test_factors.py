"""Factors on disk: read by the next run, told apart by all that they depend on, never more than the limit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zu_framework import Background, ConfigError
from zu_framework.linalg import Factor, NullSpace, factor, null_space
from zu_framework.store import factors
from zu_framework.store.factors import FactorStore


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "LEAST_BYTES", 0)


def moment(size: int = 12, seed: int = 0) -> Tensor:
    keys = torch.randn(size, 5 * size, generator=torch.Generator().manual_seed(seed)).double()
    return keys @ keys.T / keys.shape[1]


def background(folder: Path, key: str = "a", wanted: Tensor | None = None) -> Background:
    held = moment() if wanted is None else wanted
    return Background(key_moment=lambda: held, store=FactorStore({"key_moment": key}, folder))


def refuse() -> Factor:
    raise AssertionError("computed again")


WEIGHT = torch.ones(12, 12)


@pytest.mark.parametrize("refined", [False, True])
def test_the_next_run_reads_what_the_first_computed(tmp_path: Path, refined: bool) -> None:
    first = background(tmp_path).bound_to(WEIGHT)
    made = first.cached("f", lambda: factor(first.key_moment, refined=refined))
    read = background(tmp_path).bound_to(WEIGHT.clone()).cached("f", refuse)
    right = torch.ones(12, 2).double()
    assert torch.equal(read.solve(right), made.solve(right))
    assert (read.condition, read.precision) == (made.condition, made.precision)
    space = first.cached("n", lambda: null_space(first.key_moment, rank=9), of_weight=False)
    again = background(tmp_path).bound_to(WEIGHT).cached("n", refuse, of_weight=False)
    assert isinstance(again, NullSpace) and again.complement and again.rank == space.rank == 9
    assert torch.equal(again.project(right), space.project(right)) and again.energy == space.energy


def test_another_moment_weight_or_parameter_is_another_factor(tmp_path: Path) -> None:
    background(tmp_path).bound_to(WEIGHT).cached(("f", 1.0), lambda: factor(moment()))
    for other, key in (
        (background(tmp_path, "b").bound_to(WEIGHT), ("f", 1.0)),
        (background(tmp_path).bound_to(WEIGHT + 1), ("f", 1.0)),
        (background(tmp_path).bound_to(WEIGHT), ("f", 2.0)),
    ):
        with pytest.raises(AssertionError, match="computed again"):
            other.cached(key, refuse)


def test_a_written_weight_leaves_the_factors_of_the_moments_alone(tmp_path: Path) -> None:
    """Passes of one run share what the moments alone decide; factors of an edited weight are not kept on disk."""
    held, weight = background(tmp_path), WEIGHT.clone()
    calls = []
    for _ in range(3):
        at = held.bound_to(weight)
        at.cached("keys", lambda: calls.append("keys") or factor(moment()), of_weight=False)
        at.cached("values", lambda: calls.append("values") or factor(moment()))
        weight.add_(1)
    assert sorted(calls) == ["keys", "values", "values", "values"]
    assert len(list((tmp_path / "factors").glob("*.safetensors"))) == 2


def test_the_folder_keeps_to_its_limit_and_forgets_the_longest_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 12 * 12 * 8
    monkeypatch.setenv(factors.LIMIT_VARIABLE, str(3.9 * size / 2**30))
    entries = []
    for name in "abcd":
        background(tmp_path, name).bound_to(WEIGHT).cached("t", moment)
        entries.append(len(list((tmp_path / "factors").glob("*.safetensors"))))
    held = sum(p.stat().st_size for p in (tmp_path / "factors").glob("*.safetensors"))
    assert entries[0] == 1 and entries[-1] < 4
    assert held <= 3.9 * size
    background(tmp_path, "d").bound_to(WEIGHT).cached("t", refuse)
    with pytest.raises(AssertionError, match="computed again"):
        background(tmp_path, "a").bound_to(WEIGHT).cached("t", refuse)
    monkeypatch.setenv(factors.LIMIT_VARIABLE, "0")
    with pytest.raises(AssertionError, match="computed again"):
        background(tmp_path, "d").bound_to(WEIGHT).cached("t", refuse)
    monkeypatch.setenv(factors.LIMIT_VARIABLE, "much")
    with pytest.raises(ConfigError, match="ZU_FACTORS_GIB='much'"):
        background(tmp_path, "d").bound_to(WEIGHT).cached("t", refuse)
