"""Comparing methods over seeds: means, deviations, and which methods are not shown to be worse than the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

from zu_framework.problem import Measurement

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Values over seeds.

    Args:
        mean: Of the values.
        sd: The sample's standard deviation (n - 1); None for a single value, or where one is not finite.
        values: One a seed.
    """

    mean: float
    sd: float | None
    values: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread | None:
    """Return mean and sample standard deviation (n - 1) of one value a seed; None for none."""
    if not values:
        return None
    finite = all(math.isfinite(value) for value in values)
    sd = stdev(values) if len(values) > 1 and finite else None
    return Spread(fmean(values) if finite else sum(values) / len(values), sd, tuple(values))


def not_worse(
    by_method: Mapping[str, Mapping[int, Measurement]], better: str, confidence: float = CONFIDENCE
) -> set[str]:
    """Return the methods to set in bold: those that are not shown to be worse than the best mean.

    A method counts as worse where the two-sided interval (Student's t) of its seed-by-seed difference to the best
    excludes zero on the worse side; with one common seed, where the two bootstrap intervals over facts are apart.

    Args:
        by_method: Measurement by seed, for each method that has any.
        better: "lower", "higher" or "unchanged".
        confidence: Of the interval.

    Returns:
        None of them where nothing is shown to be worse than the best, or the metric has no better direction: bold
        would say nothing.
    """
    sign = {"lower": 1.0, "higher": -1.0}.get(better)
    usable = {
        method: found
        for method, found in by_method.items()
        if found and not any(math.isnan(m.value) for m in found.values())
    }
    if sign is None or len(usable) < 2:
        return set()
    best = min(usable, key=lambda method: sign * fmean(m.value for m in usable[method].values()))
    kept = {m for m in usable if m == best or not _worse(usable[m], usable[best], sign, confidence)}
    return kept if len(kept) < len(by_method) else set()


def _worse(
    method: Mapping[int, Measurement], best: Mapping[int, Measurement], sign: float, confidence: float
) -> bool:
    """Return whether a method is shown to be worse than the best; sign 1: lower is better."""
    seeds = sorted(set(method) & set(best))
    if not seeds:
        return False  # never measured on the same facts: nothing is shown
    differences = [sign * (method[seed].value - best[seed].value) for seed in seeds]  # above 0: worse
    if not all(math.isfinite(difference) for difference in differences):
        # an infinite perplexity beside a finite one; both infinite differ by nothing
        return any(method[seed].value != best[seed].value for seed in seeds)
    if len(seeds) == 1:
        return _apart(method[seeds[0]], best[seeds[0]], sign)
    error = stdev(differences) / math.sqrt(len(seeds))
    quantile = float(student.ppf(0.5 + confidence / 2, len(seeds) - 1))
    return fmean(differences) - quantile * error > 0


def _apart(method: Measurement, best: Measurement, sign: float) -> bool:
    """Return whether two bootstrap intervals do not meet, the method's on the worse side; False without intervals."""
    bounds = (method.low, method.high, best.low, best.high)
    if any(bound is None for bound in bounds):
        return False
    low, high, best_low, best_high = (float(bound) for bound in bounds if bound is not None)
    return low > best_high if sign > 0 else high < best_low
