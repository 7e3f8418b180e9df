"""Attribution patching: the causal trace to first order, from one forward and one backward pass a sample.

Source: Nanda 2023 ("Attribution patching"), Syed et al. 2023 (arXiv 2310.10348).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from zu_framework import LanguageModel
from zu_framework.models import continuations, replaced
from zu_plugins.locators.causal_trace import clean_states
from zu_plugins.locators.facts import Fact, corrupted
from zu_plugins.locators.parts import Parts, layers_around


def attributed_effects(
    lm: LanguageModel, fact: Fact, parts: Parts, noise: Tensor, window: int, batch_size: int
) -> tuple[dict[str, Tensor], float]:
    """Estimated effects by kind, (layers, tokens): gradient of the answer's probability times (clean - corrupted).

    The gradient is taken in the corrupted run. noise (samples, subject tokens, d); means over samples, NaN where
    nothing was tried. Answers the corrupted probability too. A window's estimate is the sum of its layers'. Parameters
    get no gradient: it is asked for at the states alone.
    """
    clean = clean_states(lm, fact, parts.modules)
    tokens = len(fact.row.ids)
    sums = {module: torch.zeros(tokens, dtype=torch.float64) for module in parts.modules}
    probability = 0.0
    for start in range(0, len(noise), batch_size):
        some = noise[start : start + batch_size]
        seen: dict[str, Tensor] = {}
        with torch.enable_grad(), ExitStack() as stack:
            stack.enter_context(corrupted(lm, fact, some))
            for module in parts.modules:
                stack.enter_context(replaced(lm, module, len(some), _note(seen, module)))
            likely = continuations(lm, [fact.row] * len(some)).log_probability.exp()  # (b,)
            names = list(seen)
            slopes = torch.autograd.grad(likely.sum(), [seen[name] for name in names])
        probability += float(likely.detach().sum())
        for name, slope in zip(names, slopes, strict=True):
            step = clean[name].to(torch.float64) - seen[name].detach()[:, :tokens].to(torch.float64)
            sums[name] += (step * slope[:, :tokens].to(torch.float64)).sum((0, 2)).cpu()  # (tokens,)
    effects = {kind: parts.empty(tokens) for kind in parts.by_kind}
    for kind, layer in parts.places():
        together = [parts.by_kind[kind][other] for other in layers_around(parts, kind, layer, window)]
        estimate = torch.stack([sums[module] for module in together]).sum(0) / len(noise)
        effects[kind][layer, fact.subject[0] :] = estimate[fact.subject[0] :]
    return effects, probability / len(noise)


def _note(seen: dict[str, Tensor], module: str) -> Callable[[Any], Any]:
    """Keep what the module says as a node of its own: what is asked of it is then what all later layers read."""

    def change(states: Tensor) -> Tensor:
        seen[module] = states.clone()
        return seen[module]

    return change
