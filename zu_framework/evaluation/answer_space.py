"""Settling, once and under the untouched model, whether the answer to each prompt follows after a space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from zu_framework.evaluation.scorer import Scorer
from zu_framework.models import AnswerSpace, answer_ids
from zu_framework.problem import DataSplit, Probe, Score


def settle_answers(scorer: Scorer, data: DataSplit) -> list[AnswerSpace]:
    """Score the answer to every prompt after a space and without one, and read it the likelier way from now on.

    `scorer.lm` then carries the decisions (`LanguageModel.answer_space`): targets, solvers and metrics that are given
    it read answers as the untouched model would write them, before and after an edit. What was scored is remembered.
    In a chat template the template decides, and nothing is scored.

    Args:
        scorer: Of the untouched model.
        data: Its facts are settled, those to forget with their paraphrases, neighbours and what they imply; of a prompt
            with several answers the first decides.

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
    spaced, bare = (
        [scorer.row_of(probe, answer_ids(lm.tokenizer, probe.answer, space=space)) for probe in probes]
        for space in (True, False)
    )
    label = "settling how answers follow"
    after: dict[int, Score] = {}
    bound: dict[int, float] = {}
    for index, score, logits in scorer.run_rows(spaced, label):
        after[index] = score
        bound[index] = float(logits[0].double().log_softmax(0)[bare[index].continuation[0]])
    # an answer is no likelier than its first token: most ways are decided by that
    open_ = [i for i in after if spaced[i] != bare[i] and not bound[i] < after[i].log_probability]
    without = {open_[i]: score for i, score, _ in scorer.run_rows([bare[i] for i in open_], label)}
    found: list[AnswerSpace] = []
    known: dict[Probe, Score] = {}
    for index, probe in enumerate(probes):
        least = without[index].log_probability if index in without else bound[index]
        space = not (index in without and least > after[index].log_probability)
        known[probe] = after[index] if space else without[index]
        found.append(AnswerSpace(probe.prompt, probe.answer, space, after[index].log_probability, least))
    settled = {one.prompt: one.space for one in found}
    scorer.go_on(replace(lm, answer_space=settled), known)
    return found


def _probes(data: DataSplit) -> Iterator[Probe]:
    """The prompts that are asked, each with its true answer."""
    for fact in data.forget:
        yield from (Probe(prompt, fact.answer) for prompt in (fact.prompt, *fact.paraphrases))
        yield from (*fact.neighbours, *fact.implied)
    for fact in chain(data.retain, *data.others.values()):
        yield Probe(fact.prompt, fact.answer)
