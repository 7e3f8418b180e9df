"""One loss a method, each a pure function of what the model says; no model, no optimiser.

`log_probability` (b,) is log pi(y | x) summed over the answer's tokens, `tokens` (b,) how many there are; `reference`
is the same of the untouched model. All are differentiable in the first argument; means are over requests or tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def likelihood(log_probability: Tensor, tokens: Tensor) -> Tensor:
    """-mean(log pi / |y|): negative log-likelihood a token. `ft` with the neutral text, and the retain loss."""
    return -(log_probability / tokens).mean()


def ascent(log_probability: Tensor, tokens: Tensor) -> Tensor:
    """mean(log pi / |y|): gradient ascent on the answers (Jang et al. 2023, arXiv 2210.01504).

    It has no lower bound.
    """
    return (log_probability / tokens).mean()


def negative_preference(log_probability: Tensor, reference: Tensor, beta: float) -> Tensor:
    """-(2/beta) mean log sigma(-beta log(pi / pi_ref)): NPO (Zhang et al. 2024, arXiv 2404.05868, eq. 3).

    Its gradient tends to that of mean(log pi) as beta -> 0; it vanishes where pi is far below pi_ref.
    """
    return -(2 / beta) * logsigmoid(-beta * (log_probability - reference)).mean()


def simple_negative_preference(log_probability: Tensor, tokens: Tensor, beta: float, gamma: float) -> Tensor:
    """-(2/beta) mean log sigma(-(beta/|y|) log pi - gamma): SimNPO (Fan et al. 2024, arXiv 2410.07163)."""
    return -(2 / beta) * logsigmoid(-beta * log_probability / tokens - gamma).mean()


def direct_preference(
    preferred: Tensor, preferred_reference: Tensor, answer: Tensor, answer_reference: Tensor, beta: float
) -> Tensor:
    """-(2/beta) mean log sigma(beta (log pi/pi_ref of the refusal - log pi/pi_ref of the answer)).

    DPO (Rafailov et al. 2023, arXiv 2305.18290, eq. 7) with the factor 2/beta of NPO, which it becomes without its
    first term; refusals as preferred answers: Maini et al. 2024 (TOFU, arXiv 2401.06121).
    """
    margin = (preferred - preferred_reference) - (answer - answer_reference)
    return -(2 / beta) * logsigmoid(beta * margin).mean()


def self_distillation(logits: Tensor, reference: Tensor, answer: Tensor, strength: float) -> Tensor:
    """Cross-entropy of softmax(logits) (m, v) to softmax(reference logits - strength at the answer's token).

    UNDIAL (Dong et al. 2025, arXiv 2402.10052); answer (m,) token ids; mean over tokens.
    """
    adjusted = reference.scatter_add(
        1, answer[:, None], torch.full_like(answer[:, None], -strength, dtype=reference.dtype)
    )
    return -(adjusted.softmax(1) * logits.log_softmax(1)).sum(1).mean()


def weighted_ascent(token_log_probability: Tensor, beta: float) -> Tensor:
    """mean over tokens of p^beta log p, the weight p^beta held fixed: WGA (Wang et al. 2025, arXiv 2502.19301)."""
    weight = (beta * token_log_probability).exp().detach()
    return (weight * token_log_probability).mean()


def misdirection(states: Tensor, direction: Tensor) -> Tensor:
    """mean over tokens of ||h - c u||^2 / d; states (m, d), direction c u (d,): RMU's forget loss.

    Li et al. 2024 (WMDP, arXiv 2403.03218); with `direction` the untouched states (m, d), its retain loss.
    """
    return (states - direction).square().mean()


def divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """mean over tokens of KL(reference || now), reference (m, v) as log-probabilities: the retain loss `kl`."""
    return (reference.exp() * (reference - logits.log_softmax(1))).sum(1).mean()
