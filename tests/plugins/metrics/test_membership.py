"""Membership attacks: by hand, in ROC terms, and what PrivLeak's sign means."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.plugins.metrics.known import Known, metric, score, value
from zu_framework import ConfigError, DataSplit, Request
from zu_plugins.metrics.membership import areas

DATA = DataSplit((), texts={"forget": ("m1", "m2"), "holdout": ("n1", "n2", "n3")})


def model(members: list[float], others: list[float], reference: Known | None = None) -> Known:
    texts = {f"m{i}": score([p] * 3) for i, p in enumerate(members, 1)}
    texts |= {f"n{i}": score([p] * 3) for i, p in enumerate(others, 1)}
    return Known(texts=texts, reference=reference)


def test_the_area_counts_pairs_where_the_member_is_likelier() -> None:
    found = metric("mia_loss")(model([0.9, 0.4], [0.1, 0.4, 0.5]), DATA)
    assert found.value == pytest.approx((3 + 1.5) / 6)  # 0.9 beats three, 0.4 beats one and ties one
    assert (found.numerator, found.denominator, found.grain) == (pytest.approx(4.5), 6, "pair")


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8), st.lists(st.integers(0, 9), min_size=1, max_size=8)
)
def test_areas_of_ranks_are_scikit_learns(members: list[int], others: list[int]) -> None:
    labels = [1] * len(members) + [0] * len(others)
    found = areas(np.array([members, members]), np.array([others, others]))
    assert found == pytest.approx([roc_auc_score(labels, members + others)] * 2)


def test_zlib_divides_by_the_compressed_size() -> None:
    """Two texts as likely per token: the one that compresses better is the less familiar."""
    dull, rich = "ab " * 40, "The quick brown fox jumps over the lazy dog beside a fjord."
    assert len(zlib.compress(dull.encode())) < len(zlib.compress(rich.encode()))
    texts = {text: score([0.5] * 4) for text in (dull, rich)}
    data = DataSplit((), texts={"forget": (rich,), "holdout": (dull,)})
    assert value(metric("mia_zlib")(Known(texts=texts), data)) == 1
    assert value(metric("mia_loss")(Known(texts=texts), data)) == 0.5


def test_min_k_reads_the_least_likely_tokens() -> None:
    texts = {"m1": score([0.9, 0.2, 0.9, 0.9, 0.9]), "n1": score([0.5, 0.5, 0.5, 0.5, 0.1])}
    data = DataSplit((), texts={"forget": ("m1",), "holdout": ("n1",)})
    assert value(metric("mia_min_k", k=0.2)(Known(texts=texts), data)) == 1
    texts["n1"] = score([0.5, 0.5, 0.5, 0.5, 0.3])
    assert value(metric("mia_min_k", k=0.2)(Known(texts=texts), data)) == 0
    assert value(metric("mia_min_k", k=1)(Known(texts=texts), data)) == 1


def test_min_k_plus_plus_standardises_each_token() -> None:
    """As likely as what the model expects of a flat prediction is familiar; the same where it was sure is not."""
    texts = {"m1": score([0.1], expected=-4, deviation=0.5), "n1": score([0.2], expected=-0.1, deviation=0.5)}
    data = DataSplit((), texts={"forget": ("m1",), "holdout": ("n1",)})
    assert value(metric("mia_min_k_plus_plus", k=1)(Known(texts=texts), data)) == 1
    assert value(metric("mia_min_k", k=1)(Known(texts=texts), data)) == 0


def test_answers_are_attacked_where_there_are_no_texts() -> None:
    data = DataSplit((Request("a?", "x"),), others={"holdout": (Request("b?", "y"),)})
    assert value(metric("mia_loss")(Known({("a?", "x"): (0.9, 0.9), ("b?", "y"): (0.3,)}), data)) == 1


def test_privleak_is_negative_where_members_still_show_and_positive_where_they_are_pushed_away() -> None:
    twin = model([0.5, 0.3], [0.2, 0.4, 0.6])  # (2 + 1) / 6 of pairs: error 0.5
    knows = metric("privleak")(model([0.9, 0.8], [0.2, 0.4, 0.6], twin), DATA)
    assert knows.value == pytest.approx(-100) and (knows.numerator, knows.denominator) == (0, 0.5)
    pushed = metric("privleak")(model([0.1, 0.1], [0.2, 0.4, 0.6], twin), DATA)
    assert pushed.value == pytest.approx(100)
    assert value(metric("privleak")(twin_of(twin), DATA)) == 0
    with pytest.raises(ConfigError, match="evaluate.reference"):
        metric("privleak")(twin, DATA)


def test_privleak_has_no_number_where_the_retrained_model_leaves_no_error() -> None:
    twin = model([0.9, 0.8], [0.2, 0.4, 0.6])  # every member above every other text
    assert metric("privleak")(model([0.5, 0.3], [0.2, 0.4, 0.6], twin), DATA) is None


def twin_of(known: Known) -> Known:
    return Known(texts=known.texts, reference=known)


def test_a_model_that_gives_no_probability_is_scored_all_the_same() -> None:
    texts = {"m1": score([1e-320]), "n1": score([0.5])}
    data = DataSplit((), texts={"forget": ("m1",), "holdout": ("n1",)})
    for name in ("mia_loss", "mia_zlib", "mia_min_k", "mia_min_k_plus_plus"):
        assert value(metric(name)(Known(texts=texts), data)) == 0
