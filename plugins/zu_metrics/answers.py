"""What the model thinks of true answers: exact-match accuracies, as published for CounterFact, and probabilities.

An answer matches exactly when every one of its tokens is the most likely one after the prompt and the answer's
earlier tokens (teacher-forced): the accuracies of the ZeroUnlearn and AlphaEdit evaluations. Rates count probes, not
facts: a fact with more paraphrases weighs more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from zu_framework import DataSplit, Measurement, Probe, Request, Scorer

MATCH = "share of {} whose true answer is matched exactly: every token the most likely one, teacher-forced"


def efficacy(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the forget facts' own prompts, in percent; lower is better."""
    return _exact_match(scorer, _rewrites(data.forget), "fact", MATCH.format("forget facts"))


def generalization(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the forget facts' paraphrases, in percent; lower is better."""
    probes = [Probe(text, request.answer) for request in data.forget for text in request.paraphrases]
    return _exact_match(scorer, probes, "probe", MATCH.format("the forget facts' paraphrases"))


def specificity(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of their own answers on the forget facts' neighbours, in percent; higher is better."""
    probes = [probe for request in data.forget for probe in request.neighbours]
    return _exact_match(scorer, probes, "probe", MATCH.format("the forget facts' neighbours"))


def retained(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the prompts of facts to keep, in percent; higher is better."""
    return _exact_match(scorer, _rewrites(data.retain), "fact", MATCH.format("facts to keep"))


def answer_probability(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Mean over forget facts of the true answer's probability: exp of its summed log-probability; lower is better."""
    scores = scorer.score(_rewrites(data.forget))
    if not scores:
        return None
    total = math.fsum(math.exp(score.log_probability) for score in scores)
    return Measurement(
        value=total / len(scores),
        numerator=total,
        denominator=len(scores),
        grain="fact",
        definition="mean probability of the forget facts' true answers (all tokens together)",
    )


def _rewrites(requests: Iterable[Request]) -> list[Probe]:
    return [Probe(request.prompt, request.answer) for request in requests]


def _exact_match(scorer: Scorer, probes: list[Probe], grain: str, definition: str) -> Measurement | None:
    if not probes:
        return None
    matched = sum(score.exact for score in scorer.score(probes))
    return Measurement(
        value=100 * matched / len(probes),
        numerator=matched,
        denominator=len(probes),
        grain=grain,
        unit="%",
        definition=definition,
    )
