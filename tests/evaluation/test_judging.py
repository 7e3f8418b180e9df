"""The verdict: what a run comes to, from the measurements of both sides."""

from __future__ import annotations

from typing import Any

import pytest

from zu_framework import Measurement
from zu_framework.config import GuardConfig
from zu_framework.evaluation.judging import Verdict, judge
from zu_framework.specs import Limit, MetricSpec

METRICS = (
    MetricSpec("said", "m:a", "", better="lower", tells="forgetting", limit=Limit(10.0)),
    MetricSpec("kept", "m:a", "", better="higher", tells="damage", limit=Limit(5.0, "points")),
    MetricSpec("text", "m:a", "", better="lower", tells="damage", limit=Limit(1.05, "times")),
    MetricSpec("apart", "m:a", "", better="lower", tells="damage", limit=Limit(0.1, key="mean")),
    MetricSpec("other", "m:a", ""),
)
KNOWN = [("a", True, False), ("b", True, False)]


def one(value: float) -> Measurement:
    return Measurement(value, value, 1, "fact")


def judged(after: dict[str, float], facts: Any = KNOWN, **guard: Any) -> Verdict:
    before = {"said": one(100.0), "kept": one(90.0), "text": one(30.0)}
    found = {name: one(value) for name, value in after.items()}
    return judge(before, found, METRICS, GuardConfig(**guard), facts)


FINE = {"said": 0.0, "kept": 86.0, "text": 31.0, "apart/mean": 0.05, "other": 9e9}


def test_within_all_limits_the_model_is_intact() -> None:
    verdict = judged(FINE)
    assert verdict.headline == "forgotten, model intact" and not verdict.damaged
    assert verdict.counted == "2 of 2 known facts forgotten"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": 84.0}, "kept 84.00 (was 90.00; at most 5 points worse)"),
        ({"text": 32.0}, "text 32.00 (was 30.00; at most 1.05 times that)"),
        ({"text": float("inf")}, "text inf"),
        ({"text": float("nan")}, "text nan"),
        ({"apart/mean": 0.2}, "apart/mean 0.2"),
    ],
)
def test_what_passes_a_limit_is_named(change: dict[str, float], said: str) -> None:
    verdict = judged({**FINE, **change})
    assert verdict.damaged and verdict.headline.startswith(f"forgotten, model damaged: {said}")


def test_a_limit_can_be_changed_by_the_metrics_name() -> None:
    assert not judged({**FINE, "kept": 84.0}, limits={"kept": 7.0}).damaged
    assert judged(FINE, limits={"apart": 0.01}).damaged
    assert judged(FINE, limits={"apart/mean": 0.01}).damaged


def test_what_is_still_said_is_not_forgotten() -> None:
    verdict = judged({**FINE, "said": 50.0}, [("a", True, True), ("b", True, False)])
    assert verdict.headline == "not forgotten: said 50.00 (at most 10)"
    assert verdict.counted == "1 of 2 known facts forgotten"
    worse = judged({**FINE, "said": 50.0, "kept": 0.0}, [("a", True, True), ("b", True, False)])
    assert worse.headline.startswith("not forgotten: said 50.00 (at most 10), model damaged: kept 0")


def test_facts_that_were_not_known_are_counted_apart() -> None:
    verdict = judged(FINE, [*KNOWN, ("c", False, False), ("d", False, False)])
    assert verdict.unknown == ("c", "d")
    assert verdict.counted == "2 of 2 known facts forgotten; 2 of 4 facts were not known"
    nothing = judged(FINE, [("c", False, False)])
    assert nothing.headline == "not forgotten: none of the 1 facts was known"
