"""What site solvers share between an `EditProblem` and an `Update`: bases, null spaces, norms and the report."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import DependentRows, SolverError
from zu_framework.linalg.factors import Factor, factor
from zu_framework.linalg.spaces import NullSpace, column_space, null_space
from zu_framework.options import NullSpaceOptions
from zu_framework.problem import EditProblem, Update

LEAST_SHARE = 1e-3  # share of the forget keys in a null space below which an edit there hardly moves them


def working_dtype(precision: str) -> torch.dtype:
    """Return the precision that an option's name stands for.

    Args:
        precision: "float64", "float32", or "auto", whose solutions are of float64.

    Returns:
        torch.float32 or torch.float64.
    """
    return torch.float32 if precision == "float32" else torch.float64


def sensitive_space(problem: EditProblem, tolerance: float, dtype: torch.dtype) -> Tensor:
    """Return an orthonormal basis of the sensitive values.

    Args:
        problem: Carries `sensitive` S (o, n).
        tolerance: Singular values below this share of the largest are cut.
        dtype: The precision of the basis.

    Returns:
        Q (o, r).

    Raises:
        SolverError: The problem carries no sensitive values.
    """
    if problem.sensitive is None:
        raise SolverError("this solver needs `sensitive` values (o, n), which the problem does not carry")
    return column_space(problem.sensitive, tolerance, dtype)


def null_space_by_rule(
    moment: Tensor, options: NullSpaceOptions, published: float, dtype: torch.dtype
) -> NullSpace:
    """Return the null space of a key moment under the options' rule.

    Args:
        moment: C (i, i).
        options: The rule; where they give none, singular values of at most `published` count as zero.
        published: The threshold of the solver's source.
        dtype: The precision of the basis.

    Returns:
        The null space, of at least one direction.

    Raises:
        EmptyNullSpace: The rule keeps no direction.
    """
    threshold, energy, rank = options.null_threshold, options.null_energy, options.null_rank
    if threshold is None and energy is None and rank is None:
        threshold = published
    return null_space(moment, threshold=threshold, energy=energy, rank=rank, dtype=dtype)


def null_space_notes(share: float, space: NullSpace) -> tuple[str, ...]:
    """Return a warning where an edit inside a null space can hardly move the forget keys.

    Args:
        share: Norm of the forget keys' part in the null space over their norm.
        space: The null space.

    Returns:
        One sentence, or nothing.
    """
    if share >= LEAST_SHARE:
        return ()
    return (
        f"only {share:.1e} of the forget keys lies in the null space ({space.rank} directions): they can "
        "hardly be moved; widen it (null_threshold, null_energy, null_rank)",
    )


def moment_factor(
    moment: Tensor,
    precision: str,
    *,
    refusal: str,
    weight: float = 1.0,
    ridge: float = 0.0,
    relative_ridge: float = 0.0,
) -> Factor:
    """Return the factor of `weight M + (ridge + relative_ridge mean(diag(weight M))) I`.

    Args:
        moment: M (d, d), symmetric positive semidefinite. It is not written to.
        precision: "float64", "float32", or "auto": float32, refined to float64 where the condition number allows.
        refusal: What is said of a singular moment: "the key moment is singular ({cause}): <the way out>".
        weight: Of M in the sum.
        ridge: Added to the diagonal.
        relative_ridge: Added to the diagonal, in units of its mean.

    Returns:
        The factor, in the precision that was asked for.

    Raises:
        DependentRows: The sum is singular.
    """
    dtype = working_dtype(precision)
    damped = moment.to(dtype, copy=True)
    if weight != 1:
        damped.mul_(weight)
    if ridge or relative_ridge:
        damped.diagonal().add_(ridge + relative_ridge * damped.diagonal().mean())
    try:
        return factor(damped, dtype, refined=precision == "auto")
    except DependentRows as cause:
        raise DependentRows(refusal.format(cause=cause)) from cause


def product_norm(left: Tensor, right: Tensor) -> float:
    """Return the Frobenius norm of a product, from Gram matrices.

    Args:
        left: (o, r).
        right: (r, i).

    Returns:
        ||left @ right||.
    """
    return gram_norm(left, right @ right.T)


def gram_norm(left: Tensor, gram: Tensor) -> float:
    """Return the Frobenius norm of a product whose right factor is known by its Gram matrix.

    Args:
        left: (o, r).
        gram: B B^T (r, r).

    Returns:
        ||left @ B||.
    """
    squared = float(((left.T @ left) * gram).sum())
    return math.sqrt(max(squared, 0.0))


def share_along(basis: Tensor, outputs: Tensor) -> float:
    """Return how much of some outputs lies along a basis.

    Args:
        basis: Orthonormal, (o, r).
        outputs: (o, n).

    Returns:
        The norm of that part over the norm of all, between 0 and 1.
    """
    return float((basis.T @ outputs).norm()) / max(float(outputs.norm()), 1e-300)


def reported(
    problem: EditProblem,
    update: Update,
    *,
    after: Tensor,
    condition: float,
    change_norm: float,
    weight_norm: float | None = None,
    notes: tuple[str, ...] = (),
    **more: Any,
) -> Update:
    """Return the update with its report.

    Args:
        problem: What was solved.
        update: The answer.
        after: W' K (o, n). The report's `residual` is ||W' K - T|| / ||T - V||, what is left of the way.
        condition: Condition number of what was inverted.
        change_norm: Frobenius norm of W' - W.
        weight_norm: Frobenius norm of W; computed where it is None.
        notes: Warnings, a sentence each.
        more: What one solver alone measures.

    Returns:
        The update, with `residual`, `condition_number`, `rank`, `relative_norm`, `notes` and the rest in its report.
    """
    if weight_norm is None:
        weight_norm = float(problem.weight.detach().norm())
    wanted = (problem.targets - problem.values).to(after)
    missing = problem.targets.to(after) - after
    scale = float(wanted.norm())
    report = {
        "residual": float(missing.norm()) / scale if scale > 0 else float(missing.norm()),
        "condition_number": condition,
        "rank": update.left.shape[1] if update.left is not None else None,
        "relative_norm": change_norm / weight_norm if weight_norm > 0 else float("inf"),
        **more,
        "notes": list(notes),
    }
    return Update(update.left, update.right, update.scale, update.dense, report)
