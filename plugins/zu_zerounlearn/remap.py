"""What the output-space closed forms share: one factor of the output moment per site, one solve per edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zu_framework import DependentRows, EditProblem, SolverError, Update
from zu_framework.linalg import Factor, column_space, factor, factor_on_range, gram
from zu_zerounlearn.options import RemapOptions

CROWDED = 0.25  # share of a site's output directions above which projecting them out is worth a warning


@dataclass(frozen=True)
class Remap:
    """X = M^-1 V (o, n), G = V^T X (n, n), and the factor of M = lb M0 + lr W W^T that gave them."""

    solved: Tensor
    inner: Tensor
    factor: Factor
    gram: Tensor


def working_dtype(precision: str) -> torch.dtype:
    """The precision of the algebra."""
    return torch.float64 if precision == "float64" else torch.float32


def remap(problem: EditProblem, options: RemapOptions) -> Remap:
    """Solve `M X = V`. The factor is kept with the site's background and serves every later edit of this weight.

    Where W has dependent rows, M is singular; outputs then all lie in W's column space, and M is inverted there.
    Raises `DependentRows` where it is singular even there (ridge 0 and too little text).
    """
    dtype = working_dtype(options.precision)
    background = problem.background

    def squared() -> Tensor:
        return gram(problem.weight, dtype)  # W W^T (o, o)

    def factored() -> Factor:
        moment = options.background_weight * background.value_moment.to(products)
        moment = moment + options.ridge * products
        try:
            return factor(moment, dtype)
        except DependentRows:
            pass
        try:
            return factor_on_range(moment, problem.weight, dtype)
        except DependentRows as cause:
            outputs, inputs = problem.weight.shape
            raise DependentRows(
                f"W has {outputs} outputs for {inputs} inputs, and the moment of its outputs is singular ({cause}): "
                "raise ridge, give more background text, or use solver 'zerounlearn-local' with space: key"
            ) from cause

    products = background.cached(("gram", dtype), squared)
    kept = background.cached(("moment", options.background_weight, options.ridge, dtype), factored)
    values = problem.values.to(dtype)
    solved = kept.solve(values)
    inner = values.T @ solved
    return Remap(solved, (inner + inner.T) / 2, kept, products)


def sensitive_space(problem: EditProblem, tolerance: float, dtype: torch.dtype) -> Tensor:
    """Q (o, r): orthonormal basis of the sensitive values."""
    if problem.sensitive is None:
        raise SolverError("this solver needs `sensitive` values (o, n), which the problem does not carry")
    return column_space(problem.sensitive, tolerance, dtype)


def reported(
    problem: EditProblem,
    update: Update,
    *,
    after: Tensor,
    condition: float,
    sensitive_rank: int,
    change_norm: float,
    weight_norm: float,
    notes: tuple[str, ...] = (),
    **more: Any,
) -> Update:
    """The update with its report.

    after: W' K (o, n). residual: ||W' K - T|| / ||T - V||, what is left of the way to the targets. change_norm,
    weight_norm: Frobenius norms of W' - W and W. more: what one solver alone measures.
    """
    wanted = (problem.targets - problem.values).to(after)
    missing = problem.targets.to(after) - after
    scale = float(wanted.norm())
    rank = update.left.shape[1] if update.left is not None else None
    report = {
        "residual": float(missing.norm()) / scale if scale > 0 else float(missing.norm()),
        "condition_number": condition,
        "rank": rank,
        "sensitive_rank": sensitive_rank,
        "relative_norm": change_norm / weight_norm if weight_norm > 0 else float("inf"),
        **more,
        "notes": list(notes),
    }
    return Update(update.left, update.right, update.scale, update.dense, report)
