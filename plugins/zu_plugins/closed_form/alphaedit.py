"""`alphaedit`: ridge regression inside the null space of background keys, away from the keys of earlier edits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.linalg import (
    NullSpace,
    condition_number,
    identity_factor,
    null_space_notes,
    product_norm,
    products,
    reported,
    ridge_map,
    right_solve,
    times,
    working_dtype,
)
from zu_plugins.closed_form.editor_options import AlphaEditOptions


def solve(problem: EditProblem, options: AlphaEditOptions, space: NullSpace) -> Update:
    """Minimise ||Delta K - R||^2 + ||Delta K_p||^2 + l2 ||Delta||^2 over Delta = Delta P; W' = W + Delta.

    P projects on the null space of C, K_p (i, m) are the keys of earlier edits. The published form
    `R K^T P ((K K^T + K_p K_p^T) P + l2 I)^-1` equals `R [I 0] (U^T U + l2 I)^-1 U^T` with U = P [K K_p] (i, n + m):
    an (n + m, n + m) system instead of an (i, i) one; that one serves where n + m is above i. Systems are solved in
    `options.precision`; factors are of rank n, in W's dtype.

    Args:
        problem: `keys`, and `earlier_keys` where the model carries edits.
        options: The weight of the change's size, and the precision.
        space: What `alphaedit_space` returned.

    Source: Fang et al. 2025 (arXiv 2410.02355).
    """
    dtype = working_dtype(options.precision)
    n = problem.keys.shape[1]
    keys = problem.keys.to(dtype)
    if problem.earlier_keys is not None:
        keys = torch.cat([keys, problem.earlier_keys.to(keys)], 1)
    residual = problem.targets.to(dtype) - problem.values.to(dtype)  # (o, n)
    if keys.shape[1] > keys.shape[0]:
        return _of_many(problem, options, space, keys, residual)
    allowed = space.project(keys)  # U (i, n + m)
    inner = allowed.T @ allowed
    identity = torch.eye(len(inner), dtype=dtype, device=inner.device)
    system = (inner + inner.T) / 2 + options.l2 * identity
    right = right_solve(identity[:n], system) @ allowed.T  # (n, i)
    update = Update(residual.to(problem.weight.dtype), right.to(problem.weight.dtype))
    share = float(allowed[:, :n].norm()) / max(float(keys[:, :n].norm()), 1e-300)
    return reported(
        problem,
        update,
        after=problem.values.to(dtype) + residual @ (right @ keys[:, :n]),
        condition=condition_number(system),
        change_norm=product_norm(residual, right),
        **_of_space(space, share, keys.shape[1] - n),
    )


def _of_many(
    problem: EditProblem, options: AlphaEditOptions, space: NullSpace, keys: Tensor, residual: Tensor
) -> Update:
    """The same for n + m > i: `R K^T P (U U^T + l2 I)^-1`, one (i, i) system, keys block by block."""
    n = problem.keys.shape[1]
    gram, cross = products(keys[:, :n], residual, dtype=residual.dtype)
    share = space.project(gram).diagonal().sum().clamp_min(0) / gram.trace()  # of the forget keys' squares
    if keys.shape[1] > n:
        gram += products(keys[:, n:], dtype=residual.dtype)[0]
    allowed = space.project(space.project(gram).T)  # U U^T
    allowed = (allowed + allowed.T) / 2
    eye = identity_factor(residual, len(keys))
    change = ridge_map(eye, allowed, space.project(cross.T).T, 1 / options.l2)  # (o, i)
    return reported(
        problem,
        Update(dense=change.to(problem.weight.dtype)),
        after=problem.values.to(change) + times(change, problem.keys),
        condition=condition_number(allowed + options.l2 * torch.eye(len(keys)).to(allowed)),
        change_norm=float(change.norm()),
        **_of_space(space, float(share) ** 0.5, keys.shape[1] - n),
    )


def _of_space(space: NullSpace, share: float, earlier: int) -> dict[str, Any]:
    """What the report says of the null space."""
    return {
        "notes": null_space_notes(share, space),
        "null_rank": space.rank,
        "null_energy": space.energy,
        "key_share": share,
        "earlier_keys": earlier,
    }
