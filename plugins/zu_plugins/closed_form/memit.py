"""`memit`: ridge regression of the residuals on the keys, under the key moment of general text."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.linalg import (
    Factor,
    product_norm,
    products,
    reported,
    ridge_map,
    right_solve,
    times,
    working_dtype,
)
from zu_plugins.closed_form.editor_options import MemitOptions
from zu_plugins.closed_form.factors import solved_with


def solve(problem: EditProblem, options: MemitOptions, used: Factor) -> Update:
    """Minimise w E||Delta k||^2 + ||Delta K - R||^2 over Delta, R = T - V; W' = W + Delta.

    `Delta = R K^T (w C + K K^T)^-1 = R (w I + G)^-1 X^T` with X = C^-1 K (i, n), G = K^T X (n, n): one factor of C
    serves every edit and every w; an edit costs two triangular solves with n right-hand sides and an (n, n) system.
    With more requests than inputs the (i, i) system is the smaller one: keys are taken block by block, Delta is dense.
    Systems are solved in `options.precision`; factors are of rank n, in W's dtype.

    Args:
        problem: `keys`.
        options: w and the precision.
        used: What `key_factor` returned.

    Source: Meng et al. 2023 (arXiv 2210.07229), eq. 14; the (n, n) form by the push-through identity.
    """
    dtype = working_dtype(options.precision)
    residual = problem.targets.to(dtype) - problem.values.to(dtype)
    if problem.keys.shape[1] > problem.keys.shape[0]:
        return _of_many(problem, options, used, residual)
    solved, inner = solved_with(used, problem.keys, options.precision)
    identity = torch.eye(len(inner), dtype=dtype, device=inner.device)
    left = right_solve(residual, options.background_weight * identity + inner)  # (o, n)
    return reported(
        problem,
        Update(left.to(problem.weight.dtype), solved.T.to(problem.weight.dtype).contiguous()),
        after=problem.values.to(dtype) + left @ inner,
        condition=used.condition,
        change_norm=product_norm(left, solved.T),
        relative_ridge=options.relative_ridge,
        precision=used.precision,
    )


def _of_many(problem: EditProblem, options: MemitOptions, used: Factor, residual: Tensor) -> Update:
    """The same for n > i, in O(i^2 n) time and memory for one (i, i) system: `R K^T (w C + K K^T)^-1` itself."""
    gram, cross = products(problem.keys, residual, dtype=residual.dtype)
    change = ridge_map(used, gram, cross, 1 / options.background_weight)  # (o, i)
    return reported(
        problem,
        Update(dense=change.to(problem.weight.dtype)),
        after=problem.values.to(change) + times(change, problem.keys),
        condition=used.condition,
        change_norm=float(change.norm()),
        relative_ridge=options.relative_ridge,
        precision=used.precision,
    )
