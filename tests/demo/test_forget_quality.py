"""Forget quality on the demo world: what a retrained model gets, what the untouched one gets, and what lies between.

A second twin, the recipe of the first under another seed, is too large to ship beside it: its truth ratios are recorded
in `second_twin.json` with the command that makes it. ZU_SECOND_TWIN may name its folder: then it is measured itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ks_2samp

from zu_framework import LanguageModel, Scorer, run
from zu_framework.config import load_config
from zu_framework.engine.evaluate import evaluate, suites
from zu_framework.engine.opening import read_data
from zu_framework.engine.session import resolve
from zu_framework.registry.manager import installed_plugins
from zu_plugins.metrics.options import TruthOptions
from zu_plugins.metrics.truth import ratios

METRICS = "evaluate.metrics=[truth_ratio,forget_quality,efficacy]"


@pytest.fixture(scope="module")
def measured() -> dict[str, list[float]]:
    """Truth ratios of the ten facts under the two models that are shipped, and under the second twin as recorded."""
    config = load_config(suites()["demo"])
    data = read_data(resolve(config, installed_plugins(), ("data",)))
    found = {}
    for name in ("zu:demo", "zu:demo-twin"):
        scorer = Scorer(LanguageModel.from_pretrained(name, dtype="float32"), 64)
        found[name] = ratios(scorer, data.forget, TruthOptions())
    recorded: dict[str, Any] = json.loads((Path(__file__).parent / "second_twin.json").read_text("utf-8"))
    return {**found, "second twin": recorded["truth_ratios"]}


def test_a_second_retrained_model_is_not_told_from_the_first(measured: dict[str, list[float]]) -> None:
    assert len(measured["second twin"]) == len(measured["zu:demo-twin"]) == 10
    assert ks_2samp(measured["second twin"], measured["zu:demo-twin"]).pvalue > 0.05


def test_the_untouched_model_is(measured: dict[str, list[float]]) -> None:
    for twin in ("zu:demo-twin", "second twin"):
        assert ks_2samp(measured["zu:demo"], measured[twin]).pvalue < 0.01
    assert max(measured["zu:demo"]) < 0.2 < sorted(measured["zu:demo-twin"])[2]


@pytest.mark.slow
def test_the_second_twin_itself(measured: dict[str, list[float]], tmp_path: Path) -> None:
    folder = os.environ.get("ZU_SECOND_TWIN")
    if not folder:
        pytest.skip(
            "ZU_SECOND_TWIN names no second twin: python -m zu_framework.demo.train --twin --seed 1 --out DIR"
        )
    found = evaluate(folder, "demo", [METRICS, f"output.folder={tmp_path}"]).after
    assert found["forget_quality"].value > 0.05 and found["efficacy"].value == 0
    assert found["forget_quality"].value == pytest.approx(
        ks_2samp(measured["second twin"], measured["zu:demo-twin"]).pvalue
    )


@pytest.mark.slow
def test_an_unlearned_model_lies_between(measured: dict[str, list[float]], tmp_path: Path) -> None:
    result = run("demo", [METRICS, "evaluate.reference=zu:demo-twin", f"output.folder={tmp_path}"])
    before, after = result.before["forget_quality"].value, result.after["forget_quality"].value
    twins = ks_2samp(measured["second twin"], measured["zu:demo-twin"]).pvalue
    assert before < 0.01 < after < twins
    assert result.before["truth_ratio"].value < 0.1 < result.after["truth_ratio"].value
