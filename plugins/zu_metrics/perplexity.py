"""How well the model predicts text that has nothing to do with the requests."""

from __future__ import annotations

import math

from zu_framework import DataSplit, Measurement, Scorer

LARGEST_EXPONENT = 709.0  # of a float64: above it, math.exp overflows and the perplexity is infinite


def perplexity(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """exp(total negative log-likelihood / tokens) over the held-out texts: every token weighs the same, not every text.

    None when there is no held-out text, or none with a token to predict.
    """
    nll, tokens = scorer.perplexity(data.heldout_texts)
    if not tokens:
        return None
    mean = nll / tokens
    return Measurement(
        value=math.exp(mean) if mean <= LARGEST_EXPONENT else math.inf,
        numerator=nll,
        denominator=tokens,
        grain="token",
        definition="exp(numerator / denominator): negative log-likelihood in nats over predicted tokens",
    )
