"""From logits to what is kept of them: a few numbers a token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from zu_framework.problem import Score

TOKENS_AT_ONCE = 256  # rows of logits that are turned into probabilities at a time


def scores_of(logits: Tensor, tokens: Tensor, counts: Sequence[int]) -> list[Score]:
    """Score each row's continuation.

    Where the logits are not finite the token is no argmax, has no probability, and ranks last.

    Args:
        logits: (m, v) that predict the rows' tokens, one row after the other.
        tokens: What they are (m,).
        counts: Tokens of each row; they sum to m.

    Returns:
        A score a row.
    """
    parts = [torch.split(column, list(counts)) for column in _token_numbers(logits, tokens)]
    return [
        Score(
            exact=bool(hits.all()),
            log_probability=float(found.sum()),
            tokens=len(found),
            hits=tuple(hits.tolist()),
            token_log_probabilities=tuple(found.tolist()),
            expected=tuple(expected.tolist()),
            deviations=tuple(deviations.tolist()),
            ranks=tuple(ranks.tolist()),
        )
        for hits, found, expected, deviations, ranks in zip(*parts, strict=True)
    ]


def _token_numbers(logits: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
    """Of each token (m,), on the CPU: argmax, log-probability, that number's mean and deviation, in float64; rank."""
    columns: list[tuple[Tensor, ...]] = []
    for some, wanted in zip(
        torch.split(logits, TOKENS_AT_ONCE), torch.split(tokens, TOKENS_AT_ONCE), strict=True
    ):
        each = some.to(torch.promote_types(some.dtype, torch.float32))
        each = each - each.logsumexp(1, keepdim=True)  # (m, v)
        found = each.gather(1, wanted[:, None])[:, 0]
        sound = found.isfinite()  # NaN has an argmax too
        chance = each.exp()
        possible = chance > 0  # elsewhere 0 log 0 is 0
        expected = torch.where(possible, chance * each, 0).sum(1)
        deviations = torch.where(possible, chance * (each - expected[:, None]) ** 2, 0).sum(1).sqrt()
        ranks = torch.where(sound, 1 + (each > found[:, None]).sum(1), each.shape[1])
        columns.append(((some.argmax(1) == wanted) & sound, found, expected, deviations, ranks))
    hits, found, expected, deviations, ranks = (
        torch.cat(parts).cpu() for parts in zip(*columns, strict=True)
    )
    found = found.double()
    found = found.masked_fill(~found.isfinite(), -math.inf)
    return hits, found, expected.double().nan_to_num(0.0), deviations.double().nan_to_num(0.0), ranks


def joined(windows: Sequence[Score]) -> Score:
    """Join the scores of a text's windows.

    Args:
        windows: In their order.

    Returns:
        The score of the text.
    """
    return Score(
        exact=all(window.exact for window in windows),
        log_probability=math.fsum(window.log_probability for window in windows),
        tokens=sum(window.tokens for window in windows),
        hits=tuple(chain.from_iterable(window.hits for window in windows)),
        token_log_probabilities=tuple(chain.from_iterable(w.token_log_probabilities for w in windows)),
        expected=tuple(chain.from_iterable(window.expected for window in windows)),
        deviations=tuple(chain.from_iterable(window.deviations for window in windows)),
        ranks=tuple(chain.from_iterable(window.ranks for window in windows)),
    )
