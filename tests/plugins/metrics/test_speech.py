"""Continuations: ROUGE-L by hand and against rouge_score, n-gram entropies by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins.metrics.known import Known, metric, value
from zu_framework import DataSplit, Request
from zu_plugins.metrics.speech import n_gram_entropy, rouge_l_recall

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"]), max_size=12)


@pytest.mark.parametrize(
    ("reference", "said", "recall"),
    [
        ("the cat sat on the mat", "the cat was on a mat", 4 / 6),  # the cat on mat
        ("a b c d", "d c b a", 1 / 4),
        ("a b", "x a y b z", 1),
        ("Vienna.", "in vienna, of course", 1),
        ("two words", "", 0),
        ("Ärger über Österreich", "über österreich", 2 / 3),
    ],
)
def test_recall_is_the_longest_common_subsequence_over_the_reference(
    reference: str, said: str, recall: float
) -> None:
    assert rouge_l_recall(reference, said) == pytest.approx(recall)


@given(reference=WORDS.filter(len), said=WORDS)
def test_recall_agrees_with_rouge_score(reference: list[str], said: list[str]) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge_score is not installed")
    theirs = rouge_scorer.RougeScorer(["rougeL"]).score(" ".join(reference), " ".join(said))["rougeL"].recall
    assert rouge_l_recall(" ".join(reference), " ".join(said)) == pytest.approx(theirs)


def test_entropies_are_weighted_as_rome_does() -> None:
    # a b a b c: bigrams ab 2, ba 1, bc 1 -> 1.5 bits; trigrams aba, bab, abc -> log2 3 bits
    assert n_gram_entropy("a b a b c") == pytest.approx((2 / 3 * 1.5 + 4 / 3 * math.log2(3)) / 2)
    assert n_gram_entropy("no no no no no no") == 0
    assert n_gram_entropy("") == n_gram_entropy("one") == 0


DATA = DataSplit(forget=(Request("A is", "x y"), Request("D is", "z")), retain=(Request("F is", "w"),))
MODEL = Known(said={"A is": "y, or so", "D is": "z a z a c", "F is": "w"})


def test_what_the_model_says_is_compared_and_counted() -> None:
    assert value(metric("forget_rouge")(MODEL, DATA)) == pytest.approx((1 / 2 + 1) / 2)
    assert value(metric("retain_rouge")(MODEL, DATA)) == 1
    said = [n_gram_entropy(MODEL.said[request.prompt]) for request in DATA.forget]
    assert value(metric("fluency")(MODEL, DATA)) == pytest.approx(sum(said) / 2)
