"""What else is asked of a subject: the wordings of other facts, with this subject in them.

A state that says the neutral text has often lost all else that was known of the subject as well. Such questions need
no data of their own: the facts to forget and to retain lend their wordings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import LanguageModel, ReadPlan, ReadPrompt, Request
from zu_framework.models import answer_row, continuations, encode_answer

LOOKED_AT = 16  # wordings, before the choice
COMPARED = 16  # subjects that say what a wording brings of itself
GIVEN_AWAY = 10  # a question counts as asking for the answer where that is among so many likeliest tokens


@dataclass(frozen=True)
class Wording:
    """What stands before a subject and after it, and the subject that it was taken from."""

    before: str
    after: str
    subject: str

    @classmethod
    def of(cls, request: Request) -> Wording:
        """Return a fact's; it has a subject."""
        assert request.subject is not None and request.subject_start is not None
        end = request.subject_start + len(request.subject)
        return cls(request.prompt[: request.subject_start], request.prompt[end:], request.subject)

    def ask(self, subject: str) -> ReadPrompt:
        """Put another subject into it, read at that one's last character."""
        return ReadPrompt(self.before + subject + self.after, len(self.before) + len(subject))


def others_of(
    lm: LanguageModel,
    plan: ReadPlan,
    requests: Sequence[Request],
    facts: Sequence[Request],
    count: int,
    rows: int,
    seed: int,
) -> tuple[tuple[ReadPrompt, ...], ...]:
    """Choose what else is asked of each request's subject.

    Never a question that what is forgotten of that subject would answer: where such an answer's first token is among
    the likeliest. Of the rest, those whose answer is most the subject's own: what follows diverges most from what
    follows other subjects there.

    Args:
        lm: The untouched model.
        plan: n requests; those that are not read at their subject are asked nothing.
        requests: All that is forgotten, these among them.
        facts: Facts that lend their wordings.
        count: Questions a request, at most.
        rows: Of a forward pass.
        seed: Decides which wordings are looked at.

    Returns:
        A row of questions a request, each read at the subject's last character.
    """
    at_subject = [
        (i, request.subject)
        for i, (request, texts) in enumerate(zip(plan.requests, plan.prompts, strict=True))
        if request.subject is not None and texts[0].read_end == request.subject_end
    ]
    answers: dict[str, list[str]] = {}
    for request in requests:
        if request.subject is not None:
            answers.setdefault(request.subject, []).append(request.answer)
    found: list[list[tuple[float, ReadPrompt]]] = [[] for _ in plan.requests]
    forgotten = {request.prompt for request in requests}
    for wording in _lent(facts, seed):
        subjects = list(dict.fromkeys([wording.subject, *answers]))
        usual = _following(lm, [wording.ask(subject) for subject in subjects[:COMPARED]]).mean(0)
        for start in range(0, len(at_subject), rows):
            here = at_subject[start : start + rows]
            asked = [wording.ask(subject) for _, subject in here]
            likely = _following(lm, asked)
            apart = (torch.xlogy(likely, likely) - torch.xlogy(likely, usual)).sum(1).tolist()
            top = likely.topk(min(GIVEN_AWAY, likely.shape[1]), 1).indices.tolist()
            for (i, subject), question, own, tokens in zip(here, asked, apart, top, strict=True):
                said = {encode_answer(lm, answer, question.text)[0] for answer in answers[subject]}
                if question.text not in forgotten and said.isdisjoint(tokens):
                    found[i].append((own, question))
    return tuple(
        tuple(question for _, question in sorted(row, key=lambda pair: -pair[0])[:count]) for row in found
    )


def _lent(facts: Sequence[Request], seed: int) -> list[Wording]:
    """Some of the wordings that these facts have."""
    lent = {(w.before, w.after): w for w in map(Wording.of, (fact for fact in facts if fact.subject))}
    return random.Random(seed).sample(list(lent.values()), min(LOOKED_AT, len(lent)))


def _following(lm: LanguageModel, asked: Sequence[ReadPrompt]) -> Tensor:
    """What follows each question (m, v), as probabilities in float32."""
    some = [answer_row(lm, question.text, encode_answer(lm, ".", question.text)[:1]) for question in asked]
    with torch.no_grad():
        return continuations(lm, some).logits.float().softmax(1)
