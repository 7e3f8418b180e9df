"""What site solvers share between an `EditProblem` and an `Update`: bases, null spaces, and the report."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import SolverError
from zu_framework.linalg.spaces import NullSpace, column_space, null_space
from zu_framework.options import NullSpaceOptions
from zu_framework.problem import EditProblem, Update

__all__ = ["background_null_space", "null_space_key", "reported", "sensitive_space", "working_dtype"]


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


def null_space_key(
    options: NullSpaceOptions, published: float, dtype: torch.dtype
) -> tuple[str, float | None, float | None, int | None, torch.dtype]:
    """Return the key under which a background keeps the null space of these options.

    Args:
        options: The rule, or none.
        published: The threshold where no rule is given.
        dtype: The precision of the basis.

    Returns:
        The key of `Background.cached`; a basis at hand can be put there.
    """
    threshold, energy, rank = options.null_threshold, options.null_energy, options.null_rank
    if threshold is None and energy is None and rank is None:
        threshold = published
    return "null_space", threshold, energy, rank, dtype


def background_null_space(
    problem: EditProblem, options: NullSpaceOptions, published: float, dtype: torch.dtype
) -> NullSpace:
    """Return the null space of the key moment under the options' rule, computed once for a site's background.

    Args:
        problem: Its background carries `key_moment` (i, i).
        options: The rule, or none.
        published: The threshold where no rule is given.
        dtype: The precision of the basis.

    Returns:
        The null space, of at least one direction.

    Raises:
        EmptyNullSpace: The rule leaves no direction.
    """
    _, threshold, energy, rank, _ = key = null_space_key(options, published, dtype)
    return problem.background.cached(
        key,
        lambda: null_space(
            problem.background.key_moment.to(problem.weight.device),
            threshold=threshold, energy=energy, rank=rank, dtype=dtype,
        ),
        of_weight=False,
    )  # fmt: skip


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
    """Add the report to an update.

    Args:
        problem: What was solved.
        update: What was found.
        after: W' K (o, n). The report's `residual` is ||W' K - T|| / ||T - V||, what is left of the way to the targets.
        condition: The condition number of what was solved.
        change_norm: The Frobenius norm of W' - W.
        weight_norm: The Frobenius norm of W; computed where None.
        notes: Sentences for the user.
        more: What one solver alone measures.

    Returns:
        The update with `residual`, `condition_number`, `rank`, `relative_norm`, `notes` and `more` in its report.
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
