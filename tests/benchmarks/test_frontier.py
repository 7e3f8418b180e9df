"""The rule that chooses settings, and the file that a stopped run goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.frontier.methods import cost, methods
from tests.benchmarks.frontier.records import Cell, Records
from tests.benchmarks.frontier.worlds import World, _halves
from zu_framework import Request

BEFORE = {
    "efficacy": 100.0,
    "generalization": 100.0,
    "specificity": 98.0,
    "retained": 99.0,
    "perplexity": 10.0,
}
REQUESTS = [Request(f"The capital of place {i} is", "Rome", subject=f"place {i}") for i in range(40)]


def test_damage_within_the_allowance_is_free_and_beyond_it_counts_threefold() -> None:
    after = {
        "efficacy": 10.0,
        "generalization": 30.0,
        "specificity": 97.0,
        "retained": 98.0,
        "perplexity": 10.5,
    }
    assert cost(after, BEFORE) == pytest.approx(20)
    worse = {**after, "specificity": 95.0, "retained": 97.5, "perplexity": 10.7}
    assert cost(worse, BEFORE) == pytest.approx(20 + 3 * (2 + 0.5 + 2))


def test_a_file_is_read_back_and_the_cheapest_setting_chosen(tmp_path: Path) -> None:
    path = tmp_path / "world.jsonl"
    records = Records(path)
    records.add(Cell("choose", 8, 0, "base", ""), BEFORE)
    records.add(Cell("choose", 8, 0, "memit", "gentle"), {**BEFORE, "efficacy": 50.0})
    records.add(Cell("choose", 8, 0, "memit", "rough"), {**BEFORE, "efficacy": 0.0, "specificity": 50.0})
    records.add(Cell("choose", 8, 0, "memit", "impossible"), {"refused": "no null space"})
    again = Records(path)
    assert again.chosen("memit") == "gentle"
    assert Cell("choose", 8, 0, "memit", "rough") in again
    assert Cell("report", 8, 0, "memit", "rough") not in again
    assert again.chosen("rome") is None


@pytest.mark.parametrize("seed", range(3))
def test_choosing_never_sees_a_fact_of_the_report(seed: int) -> None:
    world = World("toy", None, _halves(REQUESTS), (), {})  # type: ignore[arg-type]
    choosing, reporting = (world.drawn(stage, 8, seed) for stage in ("choose", "report"))
    reported = set(reporting.data.forget)
    for drawn in (choosing, reporting):
        parts = [set(drawn.data.forget), set(drawn.data.retain), set(drawn.retain)]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert not reported & (set(choosing.data.forget) | set(choosing.data.retain) | set(choosing.retain))


@pytest.mark.parametrize("world", ["demo", "cf-mini"])
def test_every_method_has_the_same_number_of_trials(world: str) -> None:
    counts = {name: len(method.settings) for name, method in methods(world).items() if method.report}
    assert counts.pop("zerounlearn-published") == 1
    assert set(counts.values()) == {4}
