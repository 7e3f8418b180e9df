"""`emmet`: the targets as equality constraints, all requests at once; ROME is its case n = 1."""

from __future__ import annotations

import torch

from zu_framework import EditProblem, Update
from zu_framework.linalg import reported, working_dtype
from zu_plugins.closed_form.editor_options import MomentOptions
from zu_plugins.closed_form.key_moment import whitened


def solve(problem: EditProblem, options: MomentOptions) -> Update:
    """Minimise E||Delta k||^2 over Delta subject to (W + Delta) K = T.

    `Delta = R G^+ X^T`, R = T - V, X = C^-1 K (i, n), G = K^T X (n, n). Where keys depend on each other (duplicate
    subjects, n > i), the targets are met by least squares, and the report says so. Systems in
    `options.precision`, factors of the keys' rank k in W's dtype. Raises `DependentRows` where C is singular.
    Source: Gupta et al. 2024, "A Unified Framework for Model Editing" (arXiv 2403.14236).
    """
    dtype = working_dtype(options.precision)
    solved, inner, used = whitened(problem, options)
    sizes, vectors = torch.linalg.eigh(inner)
    kept = sizes > torch.finfo(dtype).eps * len(sizes) * sizes[-1].clamp_min(0)
    sizes, vectors = sizes[kept], vectors[:, kept]
    notes = []
    if len(sizes) < len(inner):
        notes.append(
            f"the keys of {len(inner)} requests span {len(sizes)} directions: targets are met by least squares"
        )
    residual = problem.targets.to(dtype) - problem.values.to(dtype)
    # in coordinates where the change's right factor is C-orthonormal, so that nearly dependent keys cancel nothing
    whole = vectors / sizes.sqrt()  # (n, k), k the keys' rank
    left, right = residual @ whole, solved @ whole  # (o, k), (i, k)
    update = Update(left.to(problem.weight.dtype), right.T.to(problem.weight.dtype).contiguous())
    norm = float(((left.T @ left) * (right.T @ right)).sum().clamp_min(0)) ** 0.5
    spread = float(sizes[-1] / sizes[0]) if len(sizes) else 1.0
    return reported(
        problem, update, after=problem.values.to(dtype) + left @ (whole.T @ inner),
        condition=max(spread, used.condition),
        change_norm=norm, notes=tuple(notes), ridge=options.ridge, precision=used.precision, key_rank=len(sizes),
    )  # fmt: skip
