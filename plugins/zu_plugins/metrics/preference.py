"""CounterFact's preferences: is the true answer more likely than the alternative, and by how much.

Likelihoods are per token, exp of the mean log-probability, as ROME's evaluation compares them. ES, PS and NS are the
shares of prompts where the comparison goes the way that an edit wants; EM, PM and NM the mean difference of the two
probabilities, positive in that direction. Rates count probes, their intervals are over facts.
Source: Meng et al., Locating and Editing Factual Associations in GPT (2022), section 3.3 and their evaluation code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from zu_framework import DataSplit, Measurement, Probe, Request, Scorer
from zu_framework.evaluation import ratio

Ask = Callable[[Request], Sequence[tuple[str, str]]]  # (prompt, its true answer)

ON = {
    "own": "the forget facts' prompts",
    "paraphrases": "their paraphrases",
    "neighbours": "their neighbours",
}


def efficacy_score(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """ES: share of forget facts whose alternative is more likely than the true answer, in percent; higher is better."""
    return _score(scorer, data, _own, "own", alternative_wins=True)


def paraphrase_score(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """PS: the same on paraphrases."""
    return _score(scorer, data, _paraphrases, "paraphrases", alternative_wins=True)


def neighborhood_score(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """NS: share of neighbours whose true answer is more likely than the fact's alternative; higher is better."""
    return _score(scorer, data, _neighbours, "neighbours", alternative_wins=False)


def efficacy_magnitude(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """EM: mean of P(alternative) - P(true answer) over forget facts; higher is better."""
    return _magnitude(scorer, data, _own, "own", alternative_wins=True)


def paraphrase_magnitude(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """PM: the same over paraphrases."""
    return _magnitude(scorer, data, _paraphrases, "paraphrases", alternative_wins=True)


def neighborhood_magnitude(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """NM: mean of P(true answer) - P(alternative) over neighbours; higher is better."""
    return _magnitude(scorer, data, _neighbours, "neighbours", alternative_wins=False)


def _own(request: Request) -> list[tuple[str, str]]:
    return [(request.prompt, request.answer)]


def _paraphrases(request: Request) -> list[tuple[str, str]]:
    return [(text, request.answer) for text in request.paraphrases]


def _neighbours(request: Request) -> list[tuple[str, str]]:
    return [(probe.prompt, probe.answer) for probe in request.neighbours]


def _differences(scorer: Scorer, data: DataSplit, ask: Ask, alternative_wins: bool) -> list[list[float]]:
    """P(alternative) - P(true answer), or the other way round, of each prompt of each fact that has an alternative."""
    facts = [
        [(Probe(prompt, answer), Probe(prompt, request.alternative)) for prompt, answer in ask(request)]
        for request in data.forget
        if request.alternative is not None
    ]
    scores = iter(scorer.score([probe for fact in facts for pair in fact for probe in pair]))
    sign = 1.0 if alternative_wins else -1.0
    differences = []
    for fact in facts:
        pairs = [(next(scores), next(scores)) for _ in fact]
        differences.append(
            [sign * (math.exp(other.per_token) - math.exp(true.per_token)) for true, other in pairs]
        )
    return differences


def _score(
    scorer: Scorer, data: DataSplit, ask: Ask, on: str, *, alternative_wins: bool
) -> Measurement | None:
    facts = _differences(scorer, data, ask, alternative_wins)
    sides = ("the alternative", "the true answer")
    more, less = sides if alternative_wins else sides[::-1]
    return ratio(
        [float(sum(difference > 0 for difference in fact)) for fact in facts],
        [float(len(fact)) for fact in facts],
        grain="fact" if on == "own" else "probe",
        unit="%",
        definition=f"share of {ON[on]} where {more} is more likely per token than {less}",
    )


def _magnitude(
    scorer: Scorer, data: DataSplit, ask: Ask, on: str, *, alternative_wins: bool
) -> Measurement | None:
    facts = _differences(scorer, data, ask, alternative_wins)
    sides = ("P(alternative)", "P(true answer)")
    more, less = sides if alternative_wins else sides[::-1]
    return ratio(
        [math.fsum(fact) for fact in facts],
        [float(len(fact)) for fact in facts],
        grain="fact" if on == "own" else "probe",
        definition=f"mean of {more} - {less} over {ON[on]}; P is per token, a geometric mean",
    )
