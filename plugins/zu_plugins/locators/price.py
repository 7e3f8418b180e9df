"""What an edit would cost at a layer, computed before any target is made: one solve a layer, no optimisation.

With keys K of the facts, keys k_r of other facts and the key moment C of general text, the key-space closed form moves
the output at k_r by `R a_r`, R the residuals of the facts (one a column) and a_r = (I/lf + G)^-1 X^T k_r, where
X = (lb C + ridge I)^-1 K and G = K^T X. R is not known yet, a_r is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import ConfigError
from zu_framework.linalg import factor


@dataclass(frozen=True)
class Price:
    """What an edit costs at a layer.

    Args:
        spill: How much of the facts' residuals lands on another fact's key: the mean of |a_r|.
        fit: How much arrives where it should: the mean diagonal of G (I/lf + G)^-1; at most 1.
    """

    spill: float
    fit: float

    @property
    def value(self) -> float:
        """Spill over fit: a layer where the edit does not take is not cheap."""
        return self.spill / max(self.fit, 1e-12)


def price(keys: Tensor, others: Tensor, moment: Tensor, weights: tuple[float, float, float]) -> Price:
    """Price one layer, in float64.

    Args:
        keys: K (i, n) of the facts.
        others: Keys (i, r) of other facts.
        moment: C (i, i).
        weights: lb, lf and ridge of the closed form.

    Returns:
        Its spill and fit.
    """
    background, forget, ridge = weights
    keys, others = keys.to(torch.float64), others.to(torch.float64)
    system = background * moment.to(keys)
    system.diagonal().add_(ridge)
    solved = factor(system, refined=True).solve(keys)  # X (i, n)
    inner = keys.T @ solved
    inner = (inner + inner.T) / 2
    pulled = inner + torch.eye(len(inner), dtype=inner.dtype, device=inner.device) / forget
    landed = torch.linalg.solve(pulled, solved.T @ others)  # a_r (n, r)
    return Price(float(landed.norm(dim=0).mean()), float(torch.linalg.solve(pulled, inner).diagonal().mean()))


def cheapest_window(prices: Mapping[int, Price], width: int) -> list[int]:
    """Choose the consecutive layers of least mean price; of equal ones the shallower.

    Where no so many layers lie side by side (sinks, or experts, between them), the longest stretch counts.

    Args:
        prices: Of the layers that may be edited.
        width: How many are wanted.

    Returns:
        The layers, ascending.

    Raises:
        ConfigError: No layer may be edited.
    """
    if not prices:
        raise ConfigError(
            "every layer that could be edited writes an attention sink: choose layers yourself, locator.name=fixed "
            "'locator.layers=[...]' locator.allow_sinks=true"
        )
    for size in range(width, 0, -1):
        windows = [list(range(first, first + size)) for first in sorted(prices)]
        whole = [layers for layers in windows if all(layer in prices for layer in layers)]
        if whole:
            return min(whole, key=lambda layers: sum(prices[layer].value for layer in layers))
    raise AssertionError("a single layer is a window")
