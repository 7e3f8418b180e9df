"""What changed against the untouched model: by hand, and on a model whose probabilities are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluation.bigram import WORDS, bigram, probability
from tests.plugins.metrics.known import Known, metric, value
from zu_framework import DataSplit, Request, Scorer
from zu_framework.evaluation import predictions

TEXTS = ("the cat sat home", "the dog ran", "x x x x x x")


def changed() -> Any:
    """The model of the table, with "cat" after "the" made unlikely."""
    lm = bigram()
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter[WORDS.index("the"), WORDS.index("cat")] -= 3.0
    return lm


def by_hand(last: str) -> float:
    """KL of the next word's distribution, before and after that change."""
    before = np.array([probability(last, word) for word in WORDS])
    if last != "the":
        return 0.0
    logits = np.log(before)
    logits[WORDS.index("cat")] -= 3.0
    after = logits - np.log(np.exp(logits).sum())
    return float((before * (np.log(before) - after)).sum())


def read(places: int | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    if places is not None:
        monkeypatch.setattr(predictions, "NUMBERS_KEPT", places * len(WORDS))
    kl, data = metric("kl"), DataSplit((), heldout_texts=TEXTS)
    untouched = Scorer(bigram())
    assert kl(untouched, data) is None
    found = kl(Scorer(changed(), untouched=untouched), data)
    return {name: value(one) for name, one in found.items()}


def test_the_divergence_is_that_of_the_whole_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    # the tokens that are predicted follow: <s> the cat sat | <s> the dog | <s> x x x x x
    each = sorted([by_hand("the")] * 2 + [0.0] * 11)
    found = read(None, monkeypatch)
    assert found["mean"] == pytest.approx(sum(each) / len(each), rel=1e-5)
    assert found["p95"] == pytest.approx(float(np.quantile(each, 0.95)), rel=1e-5)


def test_of_more_tokens_than_fit_evenly_spaced_ones_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictions.spread_places([4, 3, 6], 8, numbers=4 * 8)
    assert found == [[0, 3], [2], [2]]  # every third of the thirteen, and no more than four
    assert predictions.spread_places([4, 3], 8, numbers=100 * 8) == [[0, 1, 2, 3], [0, 1, 2]]


def test_an_unchanged_model_is_at_distance_zero() -> None:
    data, untouched = DataSplit((), heldout_texts=TEXTS), Scorer(bigram())
    metric("kl")(untouched, data)
    assert value(metric("kl")(Scorer(bigram(), untouched=untouched), data)["mean"]) == 0.0


def test_what_the_untouched_model_was_not_asked_is_not_compared() -> None:
    data = DataSplit((), heldout_texts=TEXTS)
    assert metric("kl")(Scorer(changed(), untouched=Scorer(bigram())), data) is None


def test_the_worst_token_of_an_answer_ranks_it_and_facts_give_their_median() -> None:
    data = DataSplit((Request("a", "x"), Request("b", "x"), Request("c", "x")))
    model = Known({("a", "x"): (0.5, -0.1), ("b", "x"): (0.9,), ("c", "x"): (-0.01, 0.5)})
    assert value(metric("answer_rank")(model, data)) == 10  # of 10, 1, 100


def test_probabilities_are_compared_fact_by_fact() -> None:
    data = DataSplit((Request("a", "x"), Request("b", "x"), Request("c", "x")))
    before = Known({("a", "x"): (0.5,), ("b", "x"): (0.5, 0.5), ("c", "x"): (0.8,)})
    after = Known({("a", "x"): (0.1,), ("b", "x"): (0.5, 0.25), ("c", "x"): (0.8,)}, untouched=before)
    assert metric("answer_ratio")(before, data) is None
    assert value(metric("answer_ratio")(after, data)) == pytest.approx(0.5)  # of 0.2, 0.5, 1


def test_an_answer_is_contained_as_a_word_or_by_an_alias() -> None:
    data = DataSplit(
        (
            Request("a", "Rome"),
            Request("b", "Rome"),
            Request("c", "USA", aliases=("United States",)),
            Request("d", "京都"),
        )
    )
    said = {
        "a": "It is rome, of course",
        "b": "Romeo lived there",
        "c": "in the united states",
        "d": "在京都市",
    }
    assert value(metric("contains")(Known(said=said), data)) == 75.0


def test_a_rank_of_one_is_what_is_said() -> None:
    (score,) = Scorer(bigram()).score_texts(["the cat sat home x"])
    assert [rank == 1 for rank in score.ranks] == list(score.hits)
    assert math.isfinite(score.log_probability)
