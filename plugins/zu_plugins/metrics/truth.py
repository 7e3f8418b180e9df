"""TOFU's questions: whether the model prefers a fact's true answer to false ones, as one that never learnt it would.

The truth ratio of a fact is R = P(wrong answers) / P(paraphrased right answer), each P per token, exp of the mean
log-probability. It is 1 where the model cannot tell them apart. Source: Maini et al., TOFU (2024), section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import hmean, ks_2samp

from zu_framework import ConfigError, DataSplit, Measurement, Probe, Request, Scorer
from zu_framework.evaluation import interval, mean
from zu_plugins.metrics.options import TruthOptions, UtilityOptions
from zu_plugins.metrics.speech import rouge_recalls

KS_RESAMPLES = 500  # a test each
FURTHER = ("real_authors", "world_facts")  # TOFU's sets besides the retained facts, where the data have them


def truth_ratio(scorer: Scorer, data: DataSplit, options: TruthOptions) -> Measurement | None:
    """Mean over forget facts of min(R, 1/R), 1 where right and wrong answers are equally likely; higher is better."""
    return mean(
        [min(r, 1 / r) if r > 0 else 0.0 for r in ratios(scorer, data.forget, options)],
        definition="mean over forget facts of min(R, 1/R); R: probability per token of the wrong answers "
        f"({options.wrong} mean) over that of the paraphrased right one",
    )


def forget_quality(scorer: Scorer, data: DataSplit, options: TruthOptions) -> Measurement | None:
    """p-value of the two-sample Kolmogorov-Smirnov test of this model's truth ratios against a retrained model's.

    Above 0.05 the test cannot tell the two apart; higher is better. The numerator is the test's statistic, the largest
    distance of the two distribution functions.
    """
    mine = np.array(ratios(scorer, data.forget, options))
    if not len(mine):
        return None
    if scorer.reference is None:
        raise ConfigError("forget_quality compares with a retrained model: give evaluate.reference=FOLDER")
    theirs = np.array(ratios(scorer.reference, data.forget, options))
    test = ks_2samp(mine, theirs)

    def p_values(drawn: Any) -> list[float]:
        return [float(ks_2samp(mine[at], theirs[at]).pvalue) for at in drawn]

    low, high = interval(p_values, len(mine), resamples=KS_RESAMPLES)
    return Measurement(
        value=float(test.pvalue),
        numerator=float(test.statistic),
        denominator=len(mine),
        grain="fact",
        definition="p-value of the two-sample Kolmogorov-Smirnov test (statistic: numerator) between the truth ratios "
        "of this model and of the retrained reference",
        low=low,
        high=high,
    )


def model_utility(scorer: Scorer, data: DataSplit, options: UtilityOptions) -> Measurement | None:
    """Harmonic mean of probability, ROUGE-L recall and truth score of retained facts, real authors and world facts.

    Of the facts to retain, those with wrong answers are taken where there are any, as TOFU does (`retain_perturbed`).
    Other sets do not count. Probability: of the true answer per token; of the two further sets, its share among the
    right and the wrong answers. Truth score: max(0, 1 - R). A set without wrong answers has no truth score. Higher is
    better.
    """
    columns: list[tuple[int, list[float]]] = []  # which set, and a number a fact
    reworded = tuple(request for request in data.retain if request.perturbed_answers)
    sets = {"retain": reworded or data.retain, **{name: data.others.get(name, ()) for name in FURTHER}}
    for index, (name, requests) in enumerate(sets.items()):
        if not requests or any(request.choices for request in requests):
            continue
        parts = [
            _probabilities(scorer, requests, among_wrong=name != "retain"),
            rouge_recalls(scorer, requests, options),
            [max(0.0, 1 - r) for r in ratios(scorer, requests, options)],
        ]
        columns += [(index, part) for part in parts if len(part) == len(requests)]
    if not columns:
        return None
    groups = sorted({index for index, _ in columns})
    values = [(groups.index(index), np.array(part)) for index, part in columns]
    sizes = [next(len(v) for at, v in values if at == group) for group in range(len(groups))]
    low, high = interval(
        lambda *drawn: hmean(np.stack([v[drawn[at]].mean(1) for at, v in values]), axis=0), *sizes
    )
    means = [float(v.mean()) for _, v in values]
    value = float(hmean(means))
    return Measurement(
        value=value,
        numerator=value * len(means),
        denominator=len(means),
        grain="part",
        definition="harmonic mean of probability, ROUGE-L recall and truth score, each a mean over the retained facts, "
        "real authors or world facts; the denominator is how many of these the data hold",
        low=low,
        high=high,
    )


def ratios(scorer: Scorer, requests: Sequence[Request], options: TruthOptions) -> list[float]:
    """Compute R of each request that has wrong answers.

    Args:
        scorer: Of the model.
        requests: The right answer of each is its paraphrased answer, or else the answer itself.
        options: How the wrong answers' probabilities are averaged.

    Returns:
        R of those requests, in order; 1 where neither side has any probability.
    """
    asked = [request for request in requests if request.perturbed_answers]
    probes = [
        [
            Probe(r.prompt, r.paraphrased_answer or r.answer),
            *(Probe(r.prompt, w) for w in r.perturbed_answers),
        ]
        for r in asked
    ]
    scores = iter(scorer.score([probe for fact in probes for probe in fact]))
    found = []
    for fact in probes:
        right, *wrong = (next(scores).per_token for _ in fact)
        if options.wrong == "geometric":
            against = math.fsum(wrong) / len(wrong)
        else:
            total = math.fsum(math.exp(one) for one in wrong) / len(wrong)
            against = math.log(total) if total > 0 else -math.inf
        found.append(_exp(against - right) if math.isfinite(right) or math.isfinite(against) else 1.0)
    return found


def _probabilities(scorer: Scorer, requests: Sequence[Request], *, among_wrong: bool) -> list[float]:
    """P(answer) per token, or its share among right and wrong answers where there are wrong ones."""
    found = []
    wrong = [request.perturbed_answers if among_wrong else () for request in requests]
    probes = [
        Probe(request.prompt, answer)
        for request, others in zip(requests, wrong, strict=True)
        for answer in (request.answer, *others)
    ]
    scores = iter(scorer.score(probes))
    for others in wrong:
        right = math.exp(next(scores).per_token)
        against = math.fsum(math.exp(next(scores).per_token) for _ in others)
        found.append(right / (right + against) if others and right + against > 0 else right)
    return found


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf
