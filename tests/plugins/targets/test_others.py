"""What else is asked of a subject: wordings of other facts, never one that what is forgotten would answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.plugins.targets.test_neutral import OPTIONS, REQUESTS, made
from zu_framework import LanguageModel, ReadPlan, ReadPrompt, Request, RunContext
from zu_framework.models import batch, row_of
from zu_framework.testing import tiny_model
from zu_plugins.collectors.collectors import PromptLast
from zu_plugins.collectors.options import ContextOptions
from zu_plugins.targets import others
from zu_plugins.targets.neutral import Neutral
from zu_plugins.targets.others import others_of

RETAIN = [
    Request("The river in Spain is", "the Ebro", subject="Spain"),
    Request("The river in Peru is", "the Amazon", subject="Peru"),
    Request("It is a fact", "of life"),
]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def texts(plan: ReadPlan, found: tuple[tuple[ReadPrompt, ...], ...]) -> list[list[str]]:
    for request, row in zip(plan.requests, found, strict=True):
        for question in row:
            assert question.text[: question.read_end].endswith(str(request.subject))
    return [[question.text for question in row] for row in found]


def asked_of(lm: LanguageModel, plan: ReadPlan, *more: int, seed: int) -> tuple[tuple[ReadPrompt, ...], ...]:
    return others_of(lm, plan, plan.requests, [*plan.requests, *RETAIN], *more, seed=seed)


def following(lm: LanguageModel, text: str) -> torch.Tensor:
    with torch.no_grad():
        given = batch([row_of(lm, ReadPrompt(text, len(text), True))])
        return lm.model(given.input_ids).logits[0, -1].double().softmax(-1)


def test_facts_lend_each_other_their_wordings(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "GIVEN_AWAY", 0)
    plan = made(lm)[1]
    found = texts(plan, asked_of(lm, plan, 9, 2, seed=0))
    assert {*found[0]} == {"The mother tongue of France is", "France works as a", "The river in France is"}
    assert {*found[2]} == {
        "The capital of Irene Osborn is",
        "The mother tongue of Irene Osborn is",
        "The river in Irene Osborn is",
    }
    fewer = texts(plan, asked_of(lm, plan, 2, 32, seed=0))
    assert fewer == [row[:2] for row in found]  # however they are batched


def test_those_come_first_whose_answer_is_most_the_subjects_own(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others, "GIVEN_AWAY", 0)
    plan = made(lm)[1]
    (first, *_), *_ = texts(plan, asked_of(lm, plan, 9, 32, seed=0))
    subjects = [str(r.subject) for r in REQUESTS]
    apart = {}
    for lender, wording in [(r.subject, r.prompt) for r in (*REQUESTS[1:], RETAIN[0])]:
        asked = dict.fromkeys([str(lender), *subjects])
        usual = torch.stack([following(lm, wording.replace(str(lender), s)) for s in asked]).mean(0)
        own = following(lm, wording.replace(str(lender), "France"))
        apart[wording.replace(str(lender), "France")] = float((own * (own / usual).log()).sum())
    assert first == max(apart, key=lambda text: apart[text])


def test_a_question_that_the_forgotten_answers_is_not_spared(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made(lm)[1]
    question = "The river in France is"
    likeliest = int(following(lm, question).argmax())
    monkeypatch.setattr(others, "GIVEN_AWAY", 1)
    assert question in texts(plan, asked_of(lm, plan, 9, 32, seed=0))[0]
    real = others.encode_answer

    def encode(lm: LanguageModel, answer: str, prompt: str = "") -> list[int]:
        """As if one fact's answer were what the model says there."""
        return [likeliest] if answer == "Paris" else list(real(lm, answer, prompt))

    monkeypatch.setattr(others, "encode_answer", encode)
    found = texts(plan, asked_of(lm, plan, 9, 32, seed=0))
    assert question not in found[0] and "The river in Anna Norton is" in found[1]


def test_of_two_facts_of_one_subject_neither_spares_the_other(lm: LanguageModel) -> None:
    two = [REQUESTS[0], Request("The flag of France is", "blue", subject="France")]
    collector, _, _ = made(lm)
    plan = collector.plan(lm, two)
    asked = {text for row in texts(plan, asked_of(lm, plan, 9, 32, seed=0)) for text in row}
    assert asked <= {"The river in France is"}


def test_a_share_of_the_requests_is_asked_what_it_is_asked_among_all(lm: LanguageModel) -> None:
    plan = made(lm)[1]
    whole = asked_of(lm, plan, 2, 32, seed=0)
    part = others_of(lm, plan.subset([1]), plan.requests, [*plan.requests, *RETAIN], 2, 32, seed=0)
    assert part == whole[1:2] and part[0]


def test_nothing_is_asked_where_the_subject_is_not_what_is_read(lm: LanguageModel) -> None:
    context = RunContext(batch_size=32)
    plan = PromptLast(ContextOptions(contexts="none"), context).plan(lm, REQUESTS)
    assert asked_of(lm, plan, 9, 32, seed=0) == ((), (), ())


def test_the_builder_asks_and_spares_only_when_told_to(lm: LanguageModel) -> None:
    _, plan, context = made(lm)
    context = replace(context, retain=tuple(RETAIN))
    sites = [lm.site(0), lm.site(1)]
    options = replace(OPTIONS, steps=30, clamp=3.0)

    def states(**changes: float) -> torch.Tensor:
        state = Neutral(replace(options, **changes), context).prepare(lm, plan, sites)
        assert state.shared is not None
        return state.shared

    plain = states()
    assert torch.equal(states(others=3), plain) and torch.equal(states(spare_weight=5.0), plain)
    assert not torch.allclose(states(others=3, spare_weight=5.0), plain, rtol=1e-2)
