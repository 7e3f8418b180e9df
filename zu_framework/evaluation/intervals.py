"""From numbers of single facts to a measurement with its interval.

The interval is SciPy's percentile bootstrap at 95 %: facts are drawn with replacement, all probes of a fact together,
since probes of one fact are no independent evidence. It is seeded: the same numbers always give the same bounds. Where
every fact says the same it has no width, which proves no certainty: with n facts, a rate of up to 3/n may be hidden.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zu_framework.problem import Measurement

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0
DRAWN_AT_ONCE = 2**22  # indices: 32 MiB

Statistic = Callable[..., Any]


def interval(
    statistic: Statistic, *sizes: int, resamples: int = RESAMPLES
) -> tuple[float | None, float | None]:
    """Bound a statistic of facts at 95 %, by resampling the facts.

    Args:
        statistic: `statistic(*indices)` gets, for each group of n facts, the facts drawn (r, n) as integers below n,
            and returns r values.
        sizes: Facts in each group; the groups are drawn independently.
        resamples: How often facts are drawn.

    Returns:
        The lower and the upper bound; (None, None) where a group has fewer than two facts.
    """
    if min(sizes) < 2:
        return None, None
    # half a second to import: only who measures pays
    from scipy.stats import DegenerateDataWarning, bootstrap

    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        # values that are all undefined: no bounds, below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        values = bootstrap(
            tuple(np.arange(size) for size in sizes),
            lambda *indices, axis: statistic(*indices),
            n_resamples=resamples,
            batch=max(1, DRAWN_AT_ONCE // sum(sizes)),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
    found = values[~np.isnan(values)]
    if not len(found):
        return None, None
    tail = (1 - CONFIDENCE) / 2
    # an order statistic, where SciPy's own bounds lie between two: values may be infinite
    low, high = np.quantile(found, [tail, 1 - tail], method="nearest")
    return float(low), float(high)


def ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    grain: str,
    definition: str,
    unit: str = "",
    transform: Callable[[Any], Any] | None = None,
) -> Measurement | None:
    """Divide the sum of numerators by the sum of denominators, with an interval over facts.

    Args:
        numerators: One a fact.
        denominators: One a fact; a fact of 0 counts nothing.
        grain: What the denominator counts, in the singular: "fact", "probe", "token".
        definition: What the number is, in words.
        unit: "%" gives percent.
        transform: Done to the quotient (the exp of a perplexity); elementwise on arrays.

    Returns:
        The measurement; None where nothing is counted.
    """
    pairs = [(a, b) for a, b in zip(numerators, denominators, strict=True) if b]
    if not pairs:
        return None
    above, below = np.array(pairs, dtype=np.float64).T

    def value(top: Any, bottom: Any) -> Any:
        quotient = 100 * top / bottom if unit == "%" else top / bottom
        return quotient if transform is None else transform(quotient)

    numerator, denominator = (math.fsum(side) for side in zip(*pairs, strict=True))
    low, high = interval(lambda at: value(above[at].sum(1), below[at].sum(1)), len(pairs))
    return Measurement(
        value=float(value(numerator, denominator)),
        numerator=_whole(numerator),
        denominator=_whole(denominator),
        grain=grain,
        unit=unit,
        definition=definition,
        low=low,
        high=high,
    )


def mean(values: Sequence[float], *, definition: str, grain: str = "fact") -> Measurement | None:
    """Average a number over facts, with an interval over facts.

    Args:
        values: One a fact.
        definition: What the number is, in words.
        grain: What is counted, in the singular.

    Returns:
        The measurement; None where there are no values.
    """
    return ratio(values, [1.0] * len(values), grain=grain, definition=definition)


def _whole(number: float) -> float:
    """A count as a count: 3, not 3.0."""
    return int(number) if math.isfinite(number) and number == int(number) else number
