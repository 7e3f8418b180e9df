"""Metrics of true answers: exact-match accuracies, as published for CounterFact, and probabilities.

An answer matches exactly when every one of its tokens is the most likely one after the prompt and the answer's
earlier tokens (teacher-forced): the accuracies of the ZeroUnlearn and AlphaEdit evaluations. Rates count probes, not
facts: a fact with more paraphrases weighs more; their intervals are over facts all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from zu_framework import DataSplit, Measurement, Probe, Request, Score, Scorer
from zu_framework.evaluation import mean, ratio

MATCH = "share of {} whose true answer is matched exactly: every token the most likely one, teacher-forced"


def efficacy(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the forget facts' own prompts, in percent; lower is better."""
    return _exact_match(scorer, _own(data.forget), "fact", MATCH.format("forget facts"))


def generalization(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the forget facts' paraphrases, in percent; lower is better."""
    facts = [[Probe(text, request.answer) for text in request.paraphrases] for request in data.forget]
    return _exact_match(scorer, facts, "probe", MATCH.format("the forget facts' paraphrases"))


def specificity(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of their own answers on the forget facts' neighbours, in percent; higher is better."""
    facts = [list(request.neighbours) for request in data.forget]
    return _exact_match(scorer, facts, "probe", MATCH.format("the forget facts' neighbours"))


def retained(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Exact match of the true answer on the prompts of facts to retain, in percent; higher is better."""
    return _exact_match(scorer, _own(data.retain), "fact", MATCH.format("facts to retain"))


def multi_hop(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Share of chains of facts of which at least one implied question is answered, in percent; lower is better.

    Forget facts of one chain carry the same questions (MQuAKE): a chain counts once.
    """
    chains = list(dict.fromkeys(request.implied for request in data.forget if request.implied))
    ways = [
        [Probe(probe.prompt, text) for probe in chain for text in (probe.answer, *probe.aliases)]
        for chain in chains
    ]
    return ratio(
        [float(any(score.exact for score in chain)) for chain in _scored(scorer, ways)],
        [1.0] * len(chains),
        grain="chain",
        unit="%",
        definition="share of chains with at least one implied question whose answer, or an alias of it, is matched "
        "exactly",
    )


def answer_probability(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Mean over forget facts of the true answer's probability: exp of its summed log-probability; lower is better."""
    return mean(
        [math.exp(score.log_probability) for [score] in _scored(scorer, _own(data.forget))],
        definition="mean probability of the forget facts' true answers (all tokens together)",
    )


def token_probability(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Mean over forget facts of the true answer's geometric mean probability per token; lower is better."""
    return mean(
        [math.exp(score.per_token) for [score] in _scored(scorer, _own(data.forget))],
        definition="mean over forget facts of P(answer)^(1/tokens): the geometric mean of its tokens' probabilities",
    )


def exact_memorization(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Mean over forget facts of the share of answer tokens that are the argmax, teacher-forced; lower is better."""
    return mean(
        [sum(score.hits) / score.tokens for [score] in _scored(scorer, _own(data.forget))],
        definition="mean over forget facts of the share of the true answer's tokens that are the most likely ones, "
        "teacher-forced",
    )


def extraction_strength(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Mean over forget facts of the share of the answer that follows by itself, once its beginning is given.

    1 - k/tokens, with k the fewest tokens of the answer after which every further one is the argmax, teacher-forced:
    1 where the prompt is enough, 0 where not even the last token follows. Lower is better.
    """
    return mean(
        [_matched_suffix(score.hits) / score.tokens for [score] in _scored(scorer, _own(data.forget))],
        definition="mean over forget facts of 1 - k/tokens: k tokens of the true answer must be given before the rest "
        "are the most likely ones; 0 where none is",
    )


def _matched_suffix(hits: Sequence[bool]) -> int:
    """How many tokens at the end all match."""
    for back, hit in enumerate(reversed(hits)):
        if not hit:
            return back
    return len(hits)


def _own(requests: Iterable[Request]) -> list[list[Probe]]:
    """Each fact's own prompt."""
    return [[Probe(request.prompt, request.answer)] for request in requests]


def _scored(scorer: Scorer, facts: Sequence[Sequence[Probe]]) -> list[list[Score]]:
    """The scores of each fact's probes, all asked for at once."""
    scores = iter(scorer.score([probe for fact in facts for probe in fact]))
    return [[next(scores) for _ in fact] for fact in facts]


def _exact_match(
    scorer: Scorer, facts: Sequence[Sequence[Probe]], grain: str, definition: str
) -> Measurement | None:
    scored = _scored(scorer, facts)
    return ratio(
        [float(sum(score.exact for score in fact)) for fact in scored],
        [float(len(fact)) for fact in scored],
        grain=grain,
        unit="%",
        definition=definition,
    )
