"""The metrics of answers and of text: counted by hand, loaded by the door that a run uses, and on a real model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.plugins.metrics.known import Known, metric, score, value
from zu_framework import DataSplit, LanguageModel, Measurement, Probe, Request
from zu_framework.evaluation import measure
from zu_framework.registry.manager import load_plugins

PAPER = ["efficacy", "generalization", "specificity", "retained", "answer_probability", "perplexity"]

DATA = DataSplit(
    forget=(
        Request(
            "A is",
            "x",
            paraphrases=("So A is", "Yes A is"),
            neighbours=(Probe("B is", "x"), Probe("C is", "y")),
            alternative="w",
            implied=(Probe("And A?", "p"), Probe("Then A?", "p")),
        ),
        Request(
            "D is",
            "z",
            paraphrases=("So D is",),
            neighbours=(Probe("E is", "z"),),
            alternative="v",
            implied=(Probe("And D?", "q"),),
        ),
    ),
    retain=(Request("F is", "x"), Request("G is", "x"), Request("H is", "x")),
    heldout_texts=("one", "one two three four"),
)
MODEL = Known(
    {
        ("A is", "x"): (0.5, 0.5),
        ("D is", "z"): (-0.25, 0.01, -0.5, 0.8),
        ("A is", "w"): (0.4,),
        ("D is", "v"): (0.04, 0.01),
        ("So A is", "x"): (0.9,),
        ("So A is", "w"): (-0.1,),
        ("So D is", "z"): (0.9,),
        ("So D is", "v"): (-0.95,),
        ("C is", "y"): (0.9,),
        ("B is", "w"): (0.5,),
        ("C is", "w"): (-0.4,),
        ("G is", "x"): (0.9,),
        ("H is", "x"): (0.9,),
        ("Then A?", "p"): (0.9,),
    },
    texts={"one": score([0.5]), "one two three four": score([0.25] * 4)},
)


@pytest.mark.parametrize(
    ("name", "matched", "of", "grain"),
    [
        ("efficacy", 1, 2, "fact"),
        ("generalization", 2, 3, "probe"),
        ("specificity", 1, 3, "probe"),
        ("retained", 2, 3, "fact"),
        ("multi_hop", 1, 2, "chain"),
    ],
)
def test_rates_count_exact_matches(name: str, matched: int, of: int, grain: str) -> None:
    found: Measurement = metric(name)(MODEL, DATA)
    assert (found.numerator, found.denominator, found.grain, found.unit) == (matched, of, grain, "%")
    assert found.value == pytest.approx(100 * matched / of) and "exactly" in found.definition


def test_a_chain_of_facts_counts_once() -> None:
    implied = (Probe("Then A?", "p"),)
    chain = [Request(prompt, "x", implied=implied) for prompt in ("1", "2", "3")]
    found = metric("multi_hop")(MODEL, DataSplit((*chain, Request("4", "x", implied=(Probe("5", "p"),)))))
    assert (found.numerator, found.denominator) == (1, 2)


def test_probabilities_of_the_whole_answer_and_per_token() -> None:
    whole, each = (metric(name)(MODEL, DATA) for name in ("answer_probability", "token_probability"))
    product = 0.25 * 0.01 * 0.5 * 0.8
    assert whole.value == pytest.approx((0.25 + product) / 2)
    assert each.value == pytest.approx((0.5 + product**0.25) / 2)
    assert whole.numerator == pytest.approx(0.25 + product)
    assert whole.denominator == each.denominator == 2


def test_memorization_counts_tokens_and_extraction_the_end_of_the_answer() -> None:
    assert value(metric("exact_memorization")(MODEL, DATA)) == pytest.approx((2 / 2 + 2 / 4) / 2)
    assert value(metric("extraction_strength")(MODEL, DATA)) == pytest.approx((2 / 2 + 1 / 4) / 2)


def test_extraction_strength_is_zero_where_not_even_the_last_token_follows() -> None:
    model = Known({("A is", "x"): (0.9, 0.9, -0.4)})
    found = metric("extraction_strength")(model, DataSplit((Request("A is", "x"),)))
    assert found.value == 0 and found.denominator == 1


def test_preferences_compare_per_token_and_count_the_way_an_edit_wants() -> None:
    z = (0.25 * 0.01 * 0.5 * 0.8) ** 0.25  # P(z | D is) per token, above P(v | D is) = 0.02
    expected = {
        "efficacy_score": (0, 2),  # the true answers 0.5 and z win
        "paraphrase_score": (1, 3),  # "So A": 0.1 against 0.9; "Yes A": equal; "So D": 0.95 against 0.9
        "neighborhood_score": (1, 3),
    }
    for name, counts in expected.items():
        found = metric(name)(MODEL, DATA)
        assert (found.numerator, found.denominator) == counts, name
    assert value(metric("efficacy_magnitude")(MODEL, DATA)) == pytest.approx(((0.4 - 0.5) + (0.02 - z)) / 2)
    assert value(metric("paraphrase_magnitude")(MODEL, DATA)) == pytest.approx(
        ((0.1 - 0.9) + (0.95 - 0.9)) / 3
    )
    assert value(metric("neighborhood_magnitude")(MODEL, DATA)) == pytest.approx(
        ((0.001 - 0.5) + (0.9 - 0.4) + 0) / 3
    )


def test_a_fact_without_an_alternative_has_no_preference() -> None:
    data = DataSplit((Request("A is", "x", alternative="w"), Request("D is", "z")))
    assert metric("efficacy_score")(MODEL, data).denominator == 1


def test_perplexity_weighs_tokens_not_texts() -> None:
    found: Measurement = metric("perplexity")(MODEL, DATA)
    assert found.denominator == 5 and found.grain == "token"
    assert found.value == pytest.approx(math.exp((math.log(2) + 4 * math.log(4)) / 5))
    assert found.low == pytest.approx(2) and found.high == pytest.approx(4)


def test_a_broken_model_is_infinitely_perplexed() -> None:
    found = metric("perplexity")(Known(texts={"x": score([1e-320] * 3)}), DataSplit((), heldout_texts=("x",)))
    assert found.value == math.inf


CHOICES = DataSplit(
    forget=(
        Request("1?", "a", choices=("a", "b")),
        Request("2?", "b", choices=("a", "b", "c")),
        Request("no choices?", "b"),
    ),
    others={"geography": (Request("3?", "b", choices=("a", "b")),), "none": (Request("4?", "a"),)},
)
CHOOSER = Known(
    {
        ("1?", "a"): (0.4,),
        ("1?", "b"): (0.3,),
        ("2?", "a"): (0.5,),
        ("2?", "b"): (0.6, 0.6),
        ("2?", "c"): (0.1,),
        ("3?", "a"): (0.5,),
        ("3?", "b"): (0.1,),
    }
)


def test_the_likeliest_choice_is_taken() -> None:
    assert value(metric("choice_accuracy")(CHOOSER, CHOICES)) == 50  # 0.36 < 0.5
    assert value(metric("choice_accuracy", normalise="token")(CHOOSER, CHOICES)) == 100  # 0.6 > 0.5
    retain = metric("retain_choice_accuracy")(CHOOSER, CHOICES)
    assert {name: one.value for name, one in retain.items()} == {"geography": 0}


NAMES = sorted(
    c.spec.name for c in load_plugins().registry if c.spec.kind == "metric" and c.plugin == "zu_metrics"
)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lm_eval"])
def test_nothing_to_measure_is_no_measurement(name: str) -> None:
    assert metric(name)(Known(), DataSplit(())) is None


def test_every_metric_says_which_way_is_better_and_what_it_counts() -> None:
    registry = load_plugins().registry
    better = {name: registry.get("metric", name).spec.better for name in NAMES}
    assert [better[name] for name in PAPER] == ["lower", "lower", "higher", "higher", "lower", "lower"]
    assert [name for name in NAMES if better[name] == "unchanged"] == ["privleak"]  # best at 0
    assert all(registry.get("metric", name).spec.summary for name in NAMES)


def test_a_real_model_has_its_published_accuracies(shared: Path) -> None:
    """Every sixth record of what the model was trained on: its card says 99 %, 100 % and 98.8 % over all."""
    registry = load_plugins().registry
    dataset = registry.get("dataset", "counterfact")
    path = shared / "data" / "counterfact_known.json"
    options = dataset.spec.options(path=str(path), protocol="all", forget=50)
    data = dataset.load()(options, 0)
    lm = LanguageModel.from_pretrained(str(shared / "models" / "cf-mini"))
    found = measure(lm, data, {name: metric(name) for name in PAPER[:3]}, batch_size=128)
    assert found["efficacy"].denominator == 50 and found["specificity"].denominator == 500
    assert found["efficacy"].value >= 96 and found["generalization"].value >= 99
    assert found["specificity"].value == pytest.approx(98.8, abs=1.5)
    low, high = found["specificity"].low, found["specificity"].high
    assert low is not None and high is not None and low <= found["specificity"].value <= high
