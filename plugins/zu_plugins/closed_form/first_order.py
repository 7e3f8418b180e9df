"""First-order search for the null-space variant, in n coordinates a row instead of i.

With G = R diag(s^2) R^T, Y G^(1/2) has one column a singular direction of the allowed keys; divided by
sqrt(a s^2 + b) each, the quadratic is nearly round (curvatures between 1 and (1 + a)/a), so that few steps suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zu_plugins.closed_form.options import GradientOptions

TOLERANCE = 1e-10  # on the gradient, against the first one


@dataclass(frozen=True)
class _Whitened:
    """Coordinates U (o, m) that stand for Y (o, n).

    Args:
        rotation: R (n, m).
        sizes: s (m,).
        scale: (m,), what a coordinate is multiplied with.
    """

    rotation: Tensor
    sizes: Tensor
    scale: Tensor

    def moved(self, unknown: Tensor, columns: Tensor | None = None) -> Tensor:
        rotation = self.rotation if columns is None else self.rotation[columns]
        return (unknown * self.scale * self.sizes) @ rotation.T

    def size(self, unknown: Tensor) -> Tensor:
        return (unknown * self.scale).square().sum()

    def back(self, unknown: Tensor) -> Tensor:
        return (unknown * self.scale / self.sizes) @ self.rotation.T


def adam(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, options: GradientOptions
) -> tuple[Tensor, int]:
    """Y (o, n) after at most `options.steps` Adam steps (cosine decay), and the steps taken.

    `requests_per_step` requests enter each step; their order is drawn from a fixed seed, so that a run repeats.
    """
    space = _whiten(inner, options)
    total = _objective(values, targets, basis, options, space)
    n = values.shape[1]
    size = min(options.requests_per_step or n, n)
    unknown = torch.zeros(
        len(values), space.sizes.numel(), dtype=values.dtype, device=values.device, requires_grad=True
    )
    with torch.enable_grad():
        first = torch.autograd.grad(total(unknown, None), unknown)[0]
    unit = first.square().mean().sqrt()  # so that a step of size one is the size of the answer
    if not float(unit) > 0:
        return torch.zeros_like(values), 0
    scaled = torch.zeros_like(unknown, requires_grad=True)
    optimiser = torch.optim.Adam([scaled], lr=options.lr)
    draw = torch.Generator().manual_seed(0)
    order: list[int] = []
    for step in range(options.steps):
        for group in optimiser.param_groups:
            group["lr"] = options.lr * (1 + math.cos(math.pi * step / options.steps)) / 2
        columns = None
        if size < n:
            if len(order) < size:
                order = torch.randperm(n, generator=draw).tolist()
            columns = torch.tensor(order[:size], device=values.device)
            order = order[size:]
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(total(scaled * unit, columns) / unit**2, scaled)
        scaled.grad = slope
        if columns is None and float(slope.norm()) <= TOLERANCE * float(first.norm() / unit):
            return space.back((scaled * unit).detach()), step
        optimiser.step()
    return space.back((scaled * unit).detach()), options.steps


def lbfgs(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, options: GradientOptions
) -> tuple[Tensor, int]:
    """Y (o, n) by L-BFGS with a strong-Wolfe line search, and the steps taken."""
    space = _whiten(inner, options)
    total = _objective(values, targets, basis, options, space)
    unknown = torch.zeros(
        len(values), space.sizes.numel(), dtype=values.dtype, device=values.device, requires_grad=True
    )
    with torch.enable_grad():
        first = torch.autograd.grad(total(unknown, None), unknown)[0]
    optimiser = torch.optim.LBFGS(
        [unknown],
        max_iter=options.steps,
        max_eval=4 * options.steps,
        line_search_fn="strong_wolfe",
        tolerance_grad=TOLERANCE * float(first.abs().max()),
        tolerance_change=0.0,
    )

    def closure() -> float:
        with torch.enable_grad():
            value = total(unknown, None)
            (unknown.grad,) = torch.autograd.grad(value, unknown)
        return float(value.detach())

    step: Any = optimiser.step  # torch leaves it untyped
    step(closure)
    return space.back(unknown.detach()), int(optimiser.state[unknown].get("n_iter", 0))


def _whiten(inner: Tensor, options: GradientOptions) -> _Whitened:
    squares, vectors = torch.linalg.eigh(inner)
    # directions that no key reaches stay zero at the optimum: leave them out
    kept = squares > squares[-1].clamp_min(0) * torch.finfo(inner.dtype).eps * len(squares)
    sizes = squares[kept].sqrt()
    scale = (options.target_weight * sizes**2 + options.norm_weight).rsqrt()
    return _Whitened(vectors[:, kept], sizes, scale)


def _objective(
    values: Tensor, targets: Tensor, basis: Tensor, options: GradientOptions, space: _Whitened
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Half the loss at U; over some requests (columns) only, scaled up to stand for all."""
    n = values.shape[1]

    def total(unknown: Tensor, columns: Tensor | None) -> Tensor:
        chosen = slice(None) if columns is None else columns
        share = 1.0 if columns is None else n / len(columns)
        after = values[:, chosen] + space.moved(unknown, columns)
        zero = (basis.T @ after).square().sum()
        target = (after - targets[:, chosen]).square().sum()
        return (
            share * (zero + options.target_weight * target) + options.norm_weight * space.size(unknown)
        ) / 2

    return total
