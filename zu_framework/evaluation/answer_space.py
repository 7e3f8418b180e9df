"""Settling, once and under the untouched model, whether the answer to each prompt follows after a space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from zu_framework.evaluation.scorer import Scorer
from zu_framework.models import AnswerSpace, answer_ids
from zu_framework.problem import DataSplit, Probe, Request, Score


def settle_answers(scorer: Scorer, data: DataSplit) -> list[AnswerSpace]:
    """Score the answer to every prompt after a space and without one, and read it the likelier way from now on.

    `scorer.lm` then carries the decisions (`LanguageModel.answer_space`): targets, solvers and metrics that are given
    it read answers as the untouched model would write them, before and after an edit. What was scored is remembered.
    In a chat template the template decides, and nothing is scored.

    Args:
        scorer: Of the untouched model.
        data: Its facts, with their paraphrases, neighbours and what they imply, are settled; of a prompt with several
            answers the first decides.

    Returns:
        One decision a prompt.

    Raises:
        DataError: A prompt is longer than the model's positions.
    """
    lm = scorer.lm
    if lm.chat is not None:
        return []
    first: dict[str, Probe] = {}
    for probe in _probes(data):
        first.setdefault(probe.prompt, probe)
    probes = list(first.values())
    ways = [
        [scorer.row_of(probe, answer_ids(lm.tokenizer, probe.answer, space=space)) for space in (True, False)]
        for probe in probes
    ]
    # where both ways are the same tokens (a special token; a tokenizer that knows no spaces) one is enough
    rows = [row for pair in ways for row in (pair if pair[0] != pair[1] else pair[:1])]
    scores = iter(scorer.score_rows(rows, "settling how answers follow"))
    found: list[AnswerSpace] = []
    known: dict[Probe, Score] = {}
    for probe, pair in zip(probes, ways, strict=True):
        after = next(scores)
        bare = next(scores) if pair[0] != pair[1] else after
        space = not bare.log_probability > after.log_probability
        known[probe] = after if space else bare
        found.append(
            AnswerSpace(probe.prompt, probe.answer, space, after.log_probability, bare.log_probability)
        )
    settled = {one.prompt: one.space for one in found}
    scorer.go_on(replace(lm, answer_space=settled), known)
    return found


def _probes(data: DataSplit) -> list[Probe]:
    """Every prompt of the facts with its true answer."""
    facts: Iterable[Request] = chain(data.forget, data.retain, *data.others.values())
    return [probe for fact in facts for probe in _of(fact)]


def _of(fact: Request) -> Sequence[Probe]:
    asked = (fact.prompt, *fact.paraphrases)
    return [*(Probe(prompt, fact.answer) for prompt in asked), *fact.neighbours, *fact.implied]
