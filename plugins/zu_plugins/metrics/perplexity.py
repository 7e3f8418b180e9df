"""How well the model predicts text that has nothing to do with the requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from zu_framework import DataSplit, Measurement, Scorer
from zu_framework.evaluation import ratio


def perplexity(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """exp(total negative log-likelihood / tokens) over the held-out texts: every token weighs the same, not every text.

    None when there is no held-out text, or none with a token to predict. The interval is over texts.
    """
    scores = scorer.score_texts(data.heldout_texts)
    return ratio(
        [-score.log_probability for score in scores],
        [float(score.tokens) for score in scores],
        grain="token",
        definition="exp(numerator / denominator): negative log-likelihood in nats over predicted tokens",
        transform=_exp,
    )


def _exp(mean: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.exp(np.asarray(mean, dtype=np.float64))
