"""Intervals: over facts, seeded, as SciPy's bootstrap has them, and honest about what they cannot say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from zu_framework.evaluation import interval, mean, ratio


def test_bounds_are_those_of_version_0_1() -> None:
    """The draws are those of NumPy's generator, seeded by 0, whoever makes them."""
    draw, indices = np.random.default_rng(3), np.random.default_rng(0)
    top, bottom = draw.poisson(4, 30).astype(float), draw.integers(3, 9, 30).astype(float)
    drawn = indices.integers(0, 30, (2000, 30))
    values = top[drawn].sum(1) / bottom[drawn].sum(1)
    found = ratio(list(top), list(bottom), grain="probe", definition="")
    assert found is not None
    assert (found.low, found.high) == tuple(np.quantile(values, [0.025, 0.975], method="nearest"))


def test_bounds_are_those_of_scipys_percentile_bootstrap() -> None:
    draw = np.random.default_rng(7)
    top, bottom = draw.poisson(4, 40).astype(float), draw.integers(3, 9, 40).astype(float)
    found = ratio(list(top), list(bottom), grain="probe", definition="")
    theirs = bootstrap(
        (top, bottom),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=20000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found is not None and found.low is not None and found.high is not None
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_a_rate_lies_in_its_interval_and_both_are_possible_rates(pairs: list[tuple[int, int]]) -> None:
    counted = [(min(pair), max(pair)) for pair in pairs]
    found = ratio(
        [float(a) for a, _ in counted], [float(b) for _, b in counted], grain="probe", definition="", unit="%"
    )
    if not any(b for _, b in counted):
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(100 * sum(a for a, _ in counted) / sum(b for _, b in counted))
    if found.low is None or found.high is None:
        assert sum(b > 0 for _, b in counted) == 1  # one fact is no sample
    else:
        assert 0 <= found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high <= 100


def test_facts_are_drawn_whole() -> None:
    """Ten probes that agree within each of two facts are two observations, not twenty."""
    together = ratio([10.0, 0.0], [10.0, 10.0], grain="probe", definition="")
    apart = mean([1.0] * 10 + [0.0] * 10, definition="")
    assert together is not None and apart is not None
    assert (together.low, together.high) == (0, 1)
    assert apart.low is not None and apart.low > 0.2


def test_the_same_numbers_have_the_same_bounds() -> None:
    numbers = [0.1, 0.5, 0.4, 0.9]
    assert mean(numbers, definition="") == mean(numbers, definition="")


def test_facts_that_count_nothing_are_no_facts() -> None:
    found = ratio([1.0, 0.0, 3.0], [2.0, 0.0, 4.0], grain="probe", definition="")
    assert found == ratio([1.0, 3.0], [2.0, 4.0], grain="probe", definition="")


def test_infinite_and_undefined_numbers() -> None:
    found = mean([1.0, 2.0, math.inf], definition="")
    assert found is not None and found.value == math.inf and found.high == math.inf and found.low is not None
    assert interval(lambda at: np.full(len(at), np.nan), 3) == (None, None)


def test_groups_are_drawn_apart_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.arange(10.0), np.arange(5.0)
    whole = interval(lambda i, j: a[i].mean(1) - b[j].mean(1), 10, 5)
    monkeypatch.setattr("zu_framework.evaluation.intervals.DRAWN_AT_ONCE", 100)
    pieces = interval(lambda i, j: a[i].mean(1) - b[j].mean(1), 10, 5)
    assert whole[0] == pytest.approx(pieces[0], abs=0.4) and whole[1] == pytest.approx(pieces[1], abs=0.4)
    assert whole[0] is not None and whole[1] is not None and whole[0] < 2.5 < whole[1]
