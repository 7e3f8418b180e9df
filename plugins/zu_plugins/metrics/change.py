"""What changed against the untouched model: predictions on text, and how far a true answer fell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zu_framework import DataSplit, Measurement, Probe, Scorer
from zu_framework.evaluation import interval, ratio


def divergence(scorer: Scorer, data: DataSplit) -> dict[str, Measurement] | None:
    """KL(untouched || edited) on held-out text, in nats a token: its mean and its 95th percentile; lower is better.

    Exact: the untouched model's log-probabilities of the whole vocabulary are kept, at evenly spaced tokens where they
    would not all fit into memory. The untouched model itself has nothing to be compared with.
    """
    if scorer.untouched is None:
        scorer.predict(data.heldout_texts)
        return None
    by_text = [values for values in scorer.divergence(data.heldout_texts) or () if values]
    average = ratio(
        [math.fsum(values) for values in by_text],
        [float(len(values)) for values in by_text],
        grain="token",
        definition="mean over tokens of held-out text of KL(untouched || edited), in nats",
    )
    if average is None:
        return None
    every = np.concatenate([np.asarray(values) for values in by_text])
    return {
        "mean": average,
        "p95": Measurement(
            value=float(np.quantile(every, 0.95)),
            numerator=float(np.quantile(every, 0.95)),
            denominator=len(every),
            grain="token",
            definition="95th percentile over tokens of held-out text of KL(untouched || edited), in nats",
        ),
    }


def answer_rank(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Median over forget facts of the true answer's rank: 1 where the model says it; higher is better.

    An answer of several tokens ranks as its worst one does, teacher-forced.
    """
    ranks = [float(max(score.ranks)) for score in _own(scorer, data)]
    return _median(
        ranks,
        "median over forget facts of the true answer's rank among all tokens; of several tokens the worst, "
        "teacher-forced",
    )


def answer_ratio(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Median over forget facts of the true answer's probability against the untouched model's; lower is better."""
    if scorer.untouched is None:
        return None
    before = _own(scorer.untouched, data)
    gaps = [a.log_probability - b.log_probability for a, b in zip(_own(scorer, data), before, strict=True)]
    return _median(
        [math.exp(min(gap, 700.0)) for gap in gaps if not math.isnan(gap)],
        "median over forget facts of P(true answer) after the edit over P(true answer) before",
    )


def _own(scorer: Scorer, data: DataSplit) -> list[Any]:
    return scorer.score([Probe(request.prompt, request.answer) for request in data.forget])


def _median(values: Sequence[float], definition: str) -> Measurement | None:
    if not values:
        return None
    every = np.asarray(values, dtype=np.float64)
    low, high = interval(lambda at: np.median(every[at], axis=1), len(every))
    middle = float(np.median(every))
    return Measurement(middle, middle, len(every), "fact", definition=definition, low=low, high=high)
