"""Each loss against its formula: small cases by hand, slopes by finite differences, limits that papers state."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from zu_plugins.finetune import losses

SAID = torch.tensor([-0.5, -3.0, -7.0], dtype=torch.float64)  # log pi(y | x)
BEFORE = torch.tensor([-0.2, -3.5, -1.0], dtype=torch.float64)
LENGTHS = torch.tensor([1, 2, 4])
LOGITS = torch.tensor([[0.3, -1.0, 2.0, 0.1], [1.5, 0.2, -0.4, 0.9]], dtype=torch.float64)
OTHER = torch.tensor([[1.0, 0.4, -0.3, 0.0], [-0.8, 0.6, 1.1, 0.2]], dtype=torch.float64)
TOKENS = torch.tensor([2, 0])

LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "likelihood": (lambda x: losses.likelihood(x, LENGTHS), SAID),
    "ascent": (lambda x: losses.ascent(x, LENGTHS), SAID),
    "negative_preference": (lambda x: losses.negative_preference(x, BEFORE.to(x), 0.7), SAID),
    "simple_negative_preference": (lambda x: losses.simple_negative_preference(x, LENGTHS, 2.5, 0.3), SAID),
    "preferred": (lambda x: losses.direct_preference(x, *as_preferred(x), 0.7), SAID),
    "dispreferred": (
        lambda x: losses.direct_preference(BEFORE.to(x), BEFORE.to(x), x, BEFORE.to(x), 0.7),
        SAID,
    ),
    "weighted_ascent": (lambda x: losses.weighted_ascent(x, 0.0), SAID),
    "self_distillation": (lambda x: losses.self_distillation(x, OTHER.to(x), TOKENS, 3.0), LOGITS),
    "misdirection": (lambda x: losses.misdirection(x, OTHER[0].to(x)), LOGITS),
    "divergence": (lambda x: losses.divergence(x, OTHER.to(x).log_softmax(1)), LOGITS),
}


def as_preferred(like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The refusal's reference, the answer, and the answer's reference."""
    return BEFORE.to(like), BEFORE.to(like) - 1, BEFORE.to(like)


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_that_of_the_value(name: str) -> None:
    loss, at = LOSSES[name]
    assert gradcheck(loss, (at.clone().requires_grad_(True),))


def test_values_by_hand() -> None:
    per_token = (-0.5 / 1, -3.0 / 2, -7.0 / 4)
    assert losses.likelihood(SAID, LENGTHS).item() == pytest.approx(-sum(per_token) / 3)
    assert losses.ascent(SAID, LENGTHS).item() == pytest.approx(sum(per_token) / 3)

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    beta = 0.7
    gaps = (-0.5 + 0.2, -3.0 + 3.5, -7.0 + 1.0)
    npo = -2 / beta * sum(log_sigmoid(-beta * gap) for gap in gaps) / 3
    assert losses.negative_preference(SAID, BEFORE, beta).item() == pytest.approx(npo)
    simnpo = -2 / 2.5 * sum(log_sigmoid(-2.5 * rate - 0.3) for rate in per_token) / 3
    assert losses.simple_negative_preference(SAID, LENGTHS, 2.5, 0.3).item() == pytest.approx(simnpo)
    preferred = torch.tensor([-1.0], dtype=torch.float64)
    refusal = losses.direct_preference(preferred, preferred - 0.4, SAID[:1], BEFORE[:1], beta)
    assert refusal.item() == pytest.approx(-2 / beta * log_sigmoid(beta * (0.4 + 0.3)))
    assert losses.misdirection(LOGITS[:1], LOGITS[0] + 2.0).item() == pytest.approx(4.0)
    assert losses.weighted_ascent(SAID, 1.0).item() == pytest.approx(
        sum(math.exp(s) * s for s in SAID.tolist()) / 3
    )


@given(st.floats(-8, -0.01), st.floats(-8, -0.01))
def test_negative_preference_tends_to_gradient_ascent(said: float, before: float) -> None:
    """As beta goes to 0 the slope of NPO is that of mean(log pi) (Zhang et al. 2024, proposition 1)."""

    def slope(beta: float) -> float:
        at = torch.tensor([said], dtype=torch.float64, requires_grad=True)
        losses.negative_preference(at, torch.tensor([before], dtype=torch.float64), beta).backward()
        assert at.grad is not None
        return at.grad.item()

    assert slope(1e-6) == pytest.approx(1.0, abs=1e-5)
    gap = said - before
    assert slope(1.0) == pytest.approx(2 / (1 + math.exp(-gap)), rel=1e-9)


def test_negative_preference_lets_go_of_what_is_forgotten_where_ascent_does_not() -> None:
    far = torch.tensor([-40.0], dtype=torch.float64, requires_grad=True)
    losses.negative_preference(far, BEFORE[:1], 1.0).backward()
    assert far.grad is not None and far.grad.item() < 1e-15
    far.grad = None
    losses.ascent(far, torch.tensor([1])).backward()
    assert far.grad.item() == 1.0


def test_direct_preference_without_its_first_term_is_negative_preference() -> None:
    same = torch.zeros_like(SAID)
    assert torch.equal(
        losses.direct_preference(same, same, SAID, BEFORE, 0.3), losses.negative_preference(SAID, BEFORE, 0.3)
    )


def test_weighted_ascent_without_its_weight_is_ascent_by_token_and_its_weight_is_held() -> None:
    at = SAID.clone().requires_grad_(True)
    losses.weighted_ascent(at, 0.0).backward()
    assert at.grad is not None and torch.allclose(at.grad, torch.full_like(SAID, 1 / 3))
    at.grad = None
    losses.weighted_ascent(at, 2.0).backward()
    assert torch.allclose(at.grad, (2 * SAID).exp() / 3)  # no slope through the weight


def test_self_distillation_is_least_at_the_lowered_logits() -> None:
    lowered = OTHER.clone()
    lowered[torch.arange(2), TOKENS] -= 3.0
    at = lowered.clone().requires_grad_(True)
    losses.self_distillation(at, OTHER, TOKENS, 3.0).backward()
    assert at.grad is not None and float(at.grad.abs().max()) < 1e-12
    elsewhere = losses.self_distillation(OTHER, OTHER, TOKENS, 3.0)
    assert losses.self_distillation(lowered, OTHER, TOKENS, 3.0) < elsewhere


def test_divergence_is_zero_at_the_reference_alone() -> None:
    assert losses.divergence(OTHER + 5.0, OTHER.log_softmax(1)).item() == pytest.approx(0.0, abs=1e-15)
    p, q = OTHER[:1].softmax(1), LOGITS[:1].softmax(1)
    by_hand = float((p * (p / q).log()).sum())
    assert losses.divergence(LOGITS[:1], OTHER[:1].log_softmax(1)).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_overflows_far_out_in_float32(name: str) -> None:
    """A model that has gone far gives finite losses and slopes."""
    loss, at = LOSSES[name]
    point = (at.float() * 300 if at.ndim == 2 else at.float() - 300).requires_grad_(True)
    value = loss(point)
    value.backward()
    assert torch.isfinite(value)
    assert point.grad is not None and bool(torch.isfinite(point.grad).all())
