"""What a state spares: rows moved at the subject whose predictions at their ends should stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.plugins.targets.test_neutral import OPTIONS, made
from zu_framework import ConfigError, LanguageModel, ReadPlan, ReadPrompt
from zu_framework.models import add_at, answer_ids, batch, row_of
from zu_framework.states import Optimised, optimise
from zu_framework.testing import tiny_model
from zu_plugins.targets.options import NeutralOptions

MODULE = "model.layers.1"
WORDINGS = ("The river in {} is", "{} was born in the town of", "People like {} for")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def asked(lm: LanguageModel) -> ReadPlan:
    """The three requests; of the first nothing else is asked, of the second one thing, of the third three."""
    plan = made(lm)[1]
    rows = []
    for count, request in zip((0, 1, 3), plan.requests, strict=True):
        subject = str(request.subject)
        starts = [wording.index("{}") + len(subject) for wording in WORDINGS[:count]]
        rows.append(
            tuple(ReadPrompt(w.format(subject), end) for w, end in zip(WORDINGS, starts, strict=False))
        )
    return replace(plan, others=tuple(rows))


def found(lm: LanguageModel, plan: ReadPlan, options: NeutralOptions) -> Optimised:
    texts = [answer_ids(lm.tokenizer, request.answer) for request in plan.requests]
    return optimise(lm, MODULE, plan, texts, options)


def apart(lm: LanguageModel, plan: ReadPlan, delta: torch.Tensor) -> list[float]:
    """Mean KL(moved || untouched) after what is asked besides, a request each, by plain forward passes in float64."""
    means = []
    for questions, step in zip(plan.others, delta.T, strict=True):
        values = [0.0]
        for question in questions:
            made = batch([row_of(lm, question)])
            with torch.no_grad():
                clean = lm.model(made.input_ids).logits[0, -1].double().log_softmax(-1)
                with add_at(lm, MODULE, made.positions, step[None]):
                    moved = lm.model(made.input_ids).logits[0, -1].double().log_softmax(-1)
            values.append(float((moved.exp() * (moved - clean)).sum()))
        means.append(sum(values) / max(len(questions), 1))
    return means


@pytest.mark.parametrize("replay", ["auto", "none"])
def test_the_loss_holds_the_mean_divergence_of_what_is_spared(lm: LanguageModel, replay: str) -> None:
    plan = asked(lm)
    options = replace(OPTIONS, replay=replay, steps=2, kl_weight=0.0, weight_decay=0.0, loss_threshold=0.0)
    with_it, without = (found(lm, plan, replace(options, spare_weight=weight)) for weight in (3.0, 0.0))
    # nothing is moved at first, and a divergence has no slope there: the first step is the same
    assert torch.allclose(with_it.states, without.states, rtol=1e-5, atol=1e-6)
    expected = apart(lm, plan, without.states - without.init)
    assert expected[0] == 0 and min(expected[1:]) > 1e-4
    for mine, plain, divergence in zip(with_it.trace, without.trace, expected, strict=True):
        assert mine[0] == pytest.approx(plain[0], abs=1e-5)
        assert mine[1] - plain[1] == pytest.approx(3 * divergence, rel=1e-3, abs=1e-5)


def test_a_replay_takes_the_steps_of_the_plain_loop_also_where_some_stop_early(lm: LanguageModel) -> None:
    plan = asked(lm)
    options = replace(OPTIONS, spare_weight=1.0, loss_threshold=0.0)
    seen = found(lm, plan, replace(options, replay="none")).trace
    early = replace(options, loss_threshold=seen[1][4] + 1e-4)
    plain = found(lm, plan, replace(early, replay="none"))
    ours = found(lm, plan, early)
    assert ours.evaluations == plain.evaluations and min(plain.evaluations) < max(plain.evaluations)
    for mine, theirs in zip(ours.trace, plain.trace, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert torch.allclose(ours.states, plain.states, rtol=1e-3, atol=1e-4)


def test_a_request_takes_the_steps_that_it_takes_alone(lm: LanguageModel) -> None:
    plan, options = asked(lm), replace(OPTIONS, spare_weight=1.0)
    together = found(lm, plan, options).states
    alone = torch.cat([found(lm, plan.subset([i]), options).states for i in range(3)], 1)
    assert torch.allclose(alone, together, rtol=1e-4, atol=1e-5)


def test_what_is_spared_moves_less(lm: LanguageModel) -> None:
    plan = asked(lm)
    options = replace(OPTIONS, steps=30, clamp=3.0)
    free, spared = (found(lm, plan, replace(options, spare_weight=weight)) for weight in (0.0, 10.0))
    before = apart(lm, plan, free.states - free.init)
    after = apart(lm, plan, spared.states - spared.init)
    assert after[1] < before[1] / 2 and after[2] < before[2] / 2
    assert torch.allclose(spared.states[:, 0], free.states[:, 0], rtol=1e-4, atol=1e-5)  # asked nothing else


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match="spare_weight"):
        NeutralOptions(spare_weight=-1.0)
    with pytest.raises(ConfigError, match="others"):
        NeutralOptions(others=-1)
