"""The metrics: counted by hand, loaded by the door that a run uses, and on a model whose accuracies are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from zu_framework import DataSplit, LanguageModel, Measurement, Probe, Request, Score
from zu_framework.engine.plugins import load_plugins
from zu_framework.evaluation import measure

NAMES = ["efficacy", "generalization", "specificity", "retained", "answer_probability", "perplexity"]


def metric(name: str) -> Any:
    return load_plugins().registry.get("metric", name).load()


class Known:
    """A scorer whose model knows some (prompt, answer) pairs, each with a probability."""

    def __init__(self, known: dict[tuple[str, str], float]) -> None:
        self.known = known

    def score(self, probes: Sequence[Probe]) -> list[Score]:
        found = [self.known.get((probe.prompt, probe.answer)) for probe in probes]
        return [Score(p is not None, math.log(p or 0.001), 2) for p in found]

    def perplexity(self, texts: Sequence[str]) -> tuple[float, int]:
        """A token a word, each as likely as 1 / its text's length."""
        sizes = [len(text.split()) for text in texts]
        return sum(size * math.log(size) for size in sizes), sum(sizes)


DATA = DataSplit(
    forget=(
        Request(
            "A is",
            "x",
            paraphrases=("So A is", "Yes A is"),
            neighbours=(Probe("B is", "x"), Probe("C is", "y")),
        ),
        Request("D is", "z", paraphrases=("So D is",), neighbours=(Probe("E is", "z"),)),
    ),
    retain=(Request("F is", "x"), Request("G is", "x"), Request("H is", "x")),
    heldout_texts=("one", "one two three four"),
)
MODEL = Known(
    {
        ("A is", "x"): 0.5,
        ("So A is", "x"): 0.9,
        ("So D is", "z"): 0.9,
        ("C is", "y"): 0.9,
        ("G is", "x"): 0.9,
        ("H is", "x"): 0.9,
    }
)


@pytest.mark.parametrize(
    ("name", "matched", "of", "grain"),
    [
        ("efficacy", 1, 2, "fact"),
        ("generalization", 2, 3, "probe"),
        ("specificity", 1, 3, "probe"),
        ("retained", 2, 3, "fact"),
    ],
)
def test_rates_count_exact_matches(name: str, matched: int, of: int, grain: str) -> None:
    found: Measurement = metric(name)(MODEL, DATA)
    assert (found.numerator, found.denominator, found.grain, found.unit) == (matched, of, grain, "%")
    assert found.value == pytest.approx(100 * matched / of) and "exactly" in found.definition


def test_the_probability_is_of_the_whole_answer() -> None:
    found: Measurement = metric("answer_probability")(MODEL, DATA)
    assert found.value == pytest.approx((0.5 + 0.001) / 2)
    assert (found.numerator, found.denominator) == (pytest.approx(0.501), 2)


def test_perplexity_weighs_tokens_not_texts() -> None:
    found: Measurement = metric("perplexity")(MODEL, DATA)
    assert found.value == pytest.approx(4 ** (4 / 5))
    assert (found.numerator, found.denominator, found.grain) == (pytest.approx(4 * math.log(4)), 5, "token")


@pytest.mark.parametrize("nll", [math.inf, math.nan, 1e6])
def test_perplexity_of_a_ruined_model_is_infinite(nll: float) -> None:
    ruined: Any = Known({})
    ruined.perplexity = lambda texts: (nll, 1)
    assert metric("perplexity")(ruined, DATA).value == math.inf


def test_what_data_do_not_hold_is_not_measured() -> None:
    bare = DataSplit(forget=(Request("A is", "x"),))
    measured = {name for name in NAMES if metric(name)(MODEL, bare) is not None}
    assert measured == {"efficacy", "answer_probability"}
    assert not any(metric(name)(MODEL, DataSplit(forget=())) for name in NAMES)


def test_every_metric_says_which_way_is_better() -> None:
    specs = [load_plugins().registry.get("metric", name).spec for name in NAMES]
    better = [spec.better for spec in specs]
    assert better == ["lower", "lower", "higher", "higher", "lower", "lower"]
    assert all(spec.summary for spec in specs)


def test_a_real_model_has_its_published_accuracies(shared: Path) -> None:
    """Every sixth record of what the model was trained on: its card says 99 %, 100 % and 98.8 % over all."""
    registry = load_plugins().registry
    dataset = registry.get("dataset", "counterfact")
    path = shared / "data" / "counterfact_known.json"
    options = dataset.spec.options(path=str(path), protocol="all", forget=50)
    data = dataset.load()(options, 0)
    lm = LanguageModel.from_pretrained(str(shared / "models" / "cf-mini"))
    found = measure(lm, data, {name: metric(name) for name in NAMES[:3]}, batch_size=128)
    assert found["efficacy"].denominator == 50 and found["specificity"].denominator == 500
    assert found["efficacy"].value >= 96 and found["generalization"].value >= 99
    assert found["specificity"].value == pytest.approx(98.8, abs=1.5)
