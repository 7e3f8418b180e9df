"""What is set in bold, on cases computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import Measurement
from zu_framework.benches.comparison import not_worse, spread

Values = dict[int, Measurement]


def seeds(*values: float) -> Values:
    return {seed: Measurement(value, value, 1, "fact", "%") for seed, value in enumerate(values)}


def bounded(value: float, low: float, high: float) -> Values:
    return {0: Measurement(value, value, 1, "fact", "%", low=low, high=high)}


def test_the_paired_interval_decides() -> None:
    # differences to the best: near 1, 2, 3: mean 2, sd 1, t(0.975, 2) = 4.303: 2 - 4.303 / sqrt(3) = -0.48 < 0: kept
    # far 2, 2.5, 3: mean 2.5, sd 0.5: 2.5 - 4.303 * 0.5 / sqrt(3) = 1.26 > 0: worse
    best, near, far = seeds(1, 5, 9), seeds(2, 7, 12), seeds(3, 7.5, 12)
    assert not_worse({"best": best, "near": near, "far": far}, "lower") == {"best", "near"}
    # seed by seed: a spread that all methods share does not hide a steady difference
    assert not_worse({"a": seeds(0, 50, 100), "b": seeds(1, 51, 101)}, "lower") == {"a"}


def test_the_direction_is_the_metrics_own() -> None:
    low, high = seeds(1, 1, 1), seeds(9, 9, 9)
    assert not_worse({"low": low, "high": high}, "lower") == {"low"}
    assert not_worse({"low": low, "high": high}, "higher") == {"high"}
    assert not_worse({"low": low, "high": high}, "unchanged") == set()


def test_bold_that_says_nothing_is_left_out() -> None:
    assert not_worse({"a": seeds(1, 2), "b": seeds(2, 1)}, "lower") == set()
    assert not_worse({"a": seeds(1, 2)}, "lower") == set()
    assert not_worse({}, "lower") == set()
    assert not_worse({"a": seeds(0, 0, 0), "b": seeds(0, 0, 0), "c": seeds(5, 6, 5)}, "lower") == {"a", "b"}
    # a method without any result does not win by being absent, and does not make the others lose
    assert not_worse({"a": seeds(0, 0, 0), "none": {}}, "lower") == set()


def test_with_one_seed_the_intervals_over_facts_decide() -> None:
    a, b, c = bounded(10, 5, 15), bounded(18, 14, 22), bounded(30, 16, 40)
    assert not_worse({"a": a, "b": b, "c": c}, "lower") == {"a", "b"}
    assert not_worse({"a": seeds(1), "b": seeds(50)}, "lower") == set(), "without intervals nothing is shown"


def test_common_seeds_alone_are_compared() -> None:
    a = {0: seeds(1)[0], 1: seeds(2)[0], 2: seeds(3)[0]}
    b = {1: seeds(9)[0], 2: seeds(10)[0]}
    assert not_worse({"a": a, "b": b}, "lower") == {"a"}


def test_broken_models_do_not_win() -> None:
    fine, ruined = seeds(4, 4.1, 4.2), seeds(4, math.inf, math.inf)
    assert not_worse({"fine": fine, "ruined": ruined}, "lower") == {"fine"}
    assert "nan" not in not_worse(
        {"fine": fine, "nan": seeds(1, math.nan, 1), "worse": seeds(9, 9, 9)}, "lower"
    )


def test_mean_and_sample_deviation() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert found is not None and found.mean == 3.0 and found.sd == pytest.approx(7**0.5)
    assert spread([]) is None
    (one, infinite) = spread([2.0]), spread([1.0, math.inf])
    assert one is not None and one.sd is None
    assert infinite is not None and infinite.mean == math.inf and infinite.sd is None


@given(
    st.lists(st.tuples(*[st.floats(0, 100)] * 3), min_size=2, max_size=5),
    st.floats(-50, 50),
    st.floats(0.5, 4),
)
def test_shifting_and_scaling_a_metric_changes_no_verdict(
    drawn: list[tuple[float, ...]], shift: float, scale: float
) -> None:
    drawn = [tuple(round(value) for value in values) for values in drawn]
    shift, scale = round(shift), 2.0 ** round(scale)  # exact in floating point: ties stay ties
    plain = {str(i): seeds(*values) for i, values in enumerate(drawn)}
    moved = {str(i): seeds(*(scale * v + shift for v in values)) for i, values in enumerate(drawn)}
    mirrored = {str(i): seeds(*(-v for v in values)) for i, values in enumerate(drawn)}
    assert not_worse(moved, "lower") == not_worse(plain, "lower") == not_worse(mirrored, "higher")
