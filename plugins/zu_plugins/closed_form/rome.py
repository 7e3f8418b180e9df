"""`rome`: one rank-one change a request, each on the weights that the one before left."""

from __future__ import annotations

import torch

from zu_framework import EditProblem, SolverError, Update
from zu_framework.linalg import Factor, product_norm, reported, working_dtype
from zu_plugins.closed_form.editor_options import RomeOptions
from zu_plugins.closed_form.factors import solved_with


def solve(problem: EditProblem, options: RomeOptions, used: Factor) -> Update:
    """For each request: minimise E||Delta k||^2 subject to (W + Delta) k = t, so W' = W + (t - W k) u^T / (u^T k).

    u = C^-1 k. `key: averaged` reads one key in all places; `mixed` is the original's: u from the averaged key,
    and residual and denominator from the bare prompt's, which makes rare edits explode where the two disagree.
    In a run each request is collected on the weights that the last one left (group_size 1); given several, the solver
    does the same with the keys at hand: `l_j = (t_j - v_j - sum_{m<j} l_m u_m^T k_j) / (u_j^T k_j)`.
    Systems are solved in `options.precision`; factors are of rank n, in W's dtype.

    Args:
        problem: `keys`, and `bare_keys` for `key: mixed`.
        options: Which keys are read, and the precision.
        used: What `key_factor` returned.

    Raises:
        SolverError: u^T k vanishes.

    Source: Meng et al. 2022 (arXiv 2202.05262), eq. 2 and its code.
    """
    dtype = working_dtype(options.precision)
    solved, _ = solved_with(used, problem.keys, options.precision)  # u (i, n)
    keys = problem.keys.to(dtype)
    read = keys
    if options.key == "mixed":
        assert problem.bare_keys is not None
        read = problem.bare_keys.to(dtype)
    along = solved.T @ read  # (n, n): u_m^T k_j
    scale = solved.norm(dim=0) * read.norm(dim=0)
    residual = problem.targets.to(dtype) - problem.values.to(dtype)  # (o, n)
    left = torch.zeros_like(residual)
    for j in range(keys.shape[1]):
        own = along[j, j]
        if not float(own.abs()) > torch.finfo(dtype).eps * float(scale[j]):
            raise SolverError(
                f"request {j} of this pass: u^T k is zero, so that no rank-one change reaches its target; "
                "use key: averaged"
            )
        left[:, j] = (residual[:, j] - left[:, :j] @ along[:j, j]) / own
    return reported(
        problem,
        Update(left.to(problem.weight.dtype), solved.T.to(problem.weight.dtype).contiguous()),
        after=problem.values.to(dtype) + left @ (solved.T @ keys),
        condition=used.condition,
        change_norm=product_norm(left, solved.T),
        relative_ridge=options.relative_ridge,
        precision=used.precision,
        key=options.key,
        alignment=float((along.diagonal().abs() / scale).min()),
    )
