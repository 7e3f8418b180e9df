"""Truth ratios, forget quality and model utility: by hand, and against SciPy."""

from __future__ import annotations

import pytest
from scipy.stats import ks_2samp

from tests.plugins.metrics.known import Known, metric, value
from zu_framework import ConfigError, DataSplit, Request

FACTS = tuple(
    Request(f"{n}?", "right", paraphrased_answer="reworded", perturbed_answers=("wrong", "false"))
    for n in range(8)
)
DATA = DataSplit(FACTS)


def model(rights: list[float], reference: Known | None = None) -> Known:
    """Every wrong answer has one token of 0.1 or 0.4 (geometric mean 0.2, arithmetic 0.25), the right one differs."""
    answers: dict[tuple[str, str], tuple[float, ...]] = {}
    for request, right in zip(FACTS, rights, strict=True):
        answers[request.prompt, "reworded"] = (right, right)
        answers[request.prompt, "wrong"], answers[request.prompt, "false"] = (0.1,), (0.4,)
    return Known(answers, reference=reference)


KNOWS = [0.8, 0.9, 0.7, 0.95, 0.85, 0.75, 0.65, 0.99]
FORGOT = [0.1, 0.21, 0.3, 0.15, 0.25, 0.05, 0.2, 0.12]


def test_the_truth_ratio_is_of_likelihoods_per_token() -> None:
    rights = [0.8, 0.1, *[0.2] * 6]
    expected = (0.2 / 0.8 + 0.1 / 0.2 + 6 * 1) / 8
    assert value(metric("truth_ratio")(model(rights), DATA)) == pytest.approx(expected)
    arithmetic = (0.25 / 0.8 + 0.1 / 0.25 + 6 * 0.2 / 0.25) / 8
    assert value(metric("truth_ratio", wrong="arithmetic")(model(rights), DATA)) == pytest.approx(arithmetic)


def test_without_a_rewording_the_answer_itself_is_the_right_one() -> None:
    plain = DataSplit((Request("?", "right", perturbed_answers=("wrong",)),))
    found = metric("truth_ratio")(Known({("?", "right"): (0.5,), ("?", "wrong"): (0.125,)}), plain)
    assert found.value == pytest.approx(0.25) and found.low is None


def test_forget_quality_is_the_p_value_of_scipys_test() -> None:
    twin = model(FORGOT)
    untouched = metric("forget_quality")(model(KNOWS, twin), DATA)
    expected = ks_2samp([0.2 / r for r in KNOWS], [0.2 / r for r in FORGOT])
    assert untouched.value == pytest.approx(expected.pvalue) and untouched.value < 0.01
    assert untouched.numerator == pytest.approx(expected.statistic) == 1
    forgot = metric("forget_quality")(model([r * 1.05 for r in FORGOT], twin), DATA)
    assert forgot.value > 0.9
    assert value(metric("forget_quality")(model(FORGOT, twin), DATA)) == 1


def test_forget_quality_wants_a_reference() -> None:
    with pytest.raises(ConfigError, match="evaluate.reference"):
        metric("forget_quality")(model(KNOWS), DATA)


def test_utility_is_the_harmonic_mean_of_its_parts() -> None:
    answers = {
        ("k?", "yes"): (0.5,),
        ("k?", "indeed"): (0.4,),
        ("k?", "no"): (0.1,),
        ("w?", "yes"): (0.3,),
        ("w?", "no"): (0.1,),
        ("v?", "yes"): (0.2,),
        ("v?", "no"): (0.3,),
    }
    said = {"k?": "yes", "w?": "yes", "v?": "no"}
    data = DataSplit(
        (),
        retain=(Request("k?", "yes", paraphrased_answer="indeed", perturbed_answers=("no",)),),
        others={
            "holdout": (Request("no", "no"),),
            "world_facts": tuple(Request(q, "yes", perturbed_answers=("no",)) for q in ("w?", "v?")),
        },
    )
    found = metric("model_utility")(Known(answers, said=said), data)
    parts = [0.5, 1.0, 1 - 0.1 / 0.4, (0.75 + 0.4) / 2, 0.5, (1 - 1 / 3 + 0) / 2]
    assert found.value == pytest.approx(6 / sum(1 / part for part in parts)) and found.denominator == 6


def test_utility_is_of_what_should_stay_and_of_retained_facts_with_wrong_answers() -> None:
    answers = {("k?", "yes"): (0.5,), ("k?", "no"): (0.1,)}
    worded = Request("k?", "yes", perturbed_answers=("no",))
    plain, gone = Request("l?", "yes"), Request("f?", "yes", perturbed_answers=("no",))
    data = DataSplit((), retain=(plain, worded), others={"holdout": (gone,), "forget_level3": (gone,)})
    found = metric("model_utility")(Known(answers, said={"k?": "yes"}), data)
    assert found == metric("model_utility")(
        Known(answers, said={"k?": "yes"}), DataSplit((), retain=(worded,))
    )
    assert found.value == pytest.approx(3 / (1 / 0.5 + 1 + 1 / 0.8))


def test_one_part_at_zero_is_no_utility_and_a_set_without_wrong_answers_has_no_truth_score() -> None:
    data = DataSplit((), retain=(Request("k?", "yes"), Request("l?", "yes")))
    found = metric("model_utility")(Known({("k?", "yes"): (0.5,)}, said={"k?": "no", "l?": "no"}), data)
    assert found.value == 0 and found.denominator == 2
