"""The key moment of a site, factored once and kept with its background: every edit of the site is solved with it."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import DependentRows, EditProblem
from zu_framework.linalg import Factor, factor


def whitened(problem: EditProblem, ridge: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Factor]:
    """X = C^-1 K (i, n), G = K^T X (n, n), symmetric, and the factor of C + ridge mean(diag C) I.

    Raises `DependentRows` where C is singular: there is less general text than the site has inputs.
    """

    def factored() -> Factor:
        moment = problem.background.key_moment.to(problem.weight.device, dtype, copy=True)
        if ridge:
            moment.diagonal().add_(ridge * moment.diagonal().mean())
        try:
            return factor(moment, dtype)
        except DependentRows as cause:
            raise DependentRows(
                f"the key moment is singular ({cause}): give more background text than the site has inputs "
                f"({len(moment)}), or a ridge (for example 1e-6)"
            ) from cause

    used = problem.background.cached(("key_factor", ridge, dtype), factored)
    keys = problem.keys.to(dtype)
    solved = used.solve(keys)
    inner = keys.T @ solved
    return solved, (inner + inner.T) / 2, used
