"""`alphaedit`: ridge regression inside the null space of background keys, away from the keys of earlier edits."""

from __future__ import annotations

import torch

from zu_editors.options import AlphaEditOptions
from zu_framework import EditProblem, Update
from zu_framework.algebra import background_null_space, reported, working_dtype
from zu_framework.linalg import right_solve

PUBLISHED_THRESHOLD = 0.02  # arXiv 2410.02355, `nullspace_threshold` of its hyperparameters


def solve(problem: EditProblem, options: AlphaEditOptions) -> Update:
    """Minimise ||Delta K - R||^2 + ||Delta K_p||^2 + l2 ||Delta||^2 over Delta = Delta P; W' = W + Delta.

    P projects on the null space of C, K_p (i, m) are the keys of earlier edits. The published form
    `R K^T P ((K K^T + K_p K_p^T) P + l2 I)^-1` equals `R [I 0] (U^T U + l2 I)^-1 U^T` with U = P [K K_p] (i, n + m):
    an (n + m, n + m) system instead of an (i, i) one. Systems in `options.precision`, factors of rank n in W's
    dtype. Raises `EmptyNullSpace` where the rule keeps no direction. Source: Fang et al. 2025 (arXiv 2410.02355).
    """
    dtype = working_dtype(options.precision)
    space = background_null_space(problem, options, PUBLISHED_THRESHOLD, dtype)
    n = problem.keys.shape[1]
    keys = problem.keys.to(dtype)
    if problem.earlier_keys is not None:
        keys = torch.cat([keys, problem.earlier_keys.to(keys)], 1)
    allowed = space.project(keys)  # U (i, n + m)
    inner = allowed.T @ allowed
    system = (inner + inner.T) / 2 + options.l2 * torch.eye(len(inner), dtype=dtype, device=inner.device)
    first = torch.eye(len(inner), dtype=dtype, device=inner.device)[:n]
    right = right_solve(first, system) @ allowed.T  # (n, i)
    left = problem.targets.to(dtype) - problem.values.to(dtype)  # (o, n)
    update = Update(left.to(problem.weight.dtype), right.to(problem.weight.dtype))
    sizes = torch.linalg.eigvalsh(system)
    held = float(allowed[:, :n].norm()) / max(float(keys[:, :n].norm()), 1e-300)
    notes = []
    if held < 1e-3:
        notes.append(
            f"only {held:.1e} of the forget keys lies in the null space ({space.basis.shape[1]} directions): they can "
            "hardly be moved; widen it (null_threshold, null_energy, null_rank)"
        )
    norm = float(((left.T @ left) * (right @ right.T)).sum().clamp_min(0)) ** 0.5
    after = problem.values.to(dtype) + left @ (right @ keys[:, :n])
    return reported(
        problem, update, after=after, condition=float(sizes[-1] / sizes[0]), change_norm=norm,
        notes=tuple(notes), null_rank=space.basis.shape[1], null_energy=space.energy, key_share=held,
        earlier_keys=keys.shape[1] - n,
    )  # fmt: skip
