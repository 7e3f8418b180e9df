"""`emmet`: the targets as equality constraints, all requests at once; ROME is its case n = 1."""

from __future__ import annotations

import torch

from zu_framework import EditProblem, Update
from zu_framework.linalg import Factor, product_norm, reported, working_dtype
from zu_plugins.closed_form.editor_options import MomentOptions
from zu_plugins.closed_form.factors import solved_with


def solve(problem: EditProblem, options: MomentOptions, used: Factor) -> Update:
    """Minimise E||Delta k||^2 over Delta subject to (W + Delta) K = T.

    `Delta = R G^+ X^T`, R = T - V, X = C^-1 K (i, n), G = K^T X (n, n). Where keys depend on each other (duplicate
    subjects, n > i), the targets are met by least squares, and the report says so. Systems are solved in
    `options.precision`; factors are of the keys' rank k, in W's dtype.

    Args:
        problem: `keys`.
        options: The precision.
        used: What `key_factor` returned.

    Source: Gupta et al. 2024, "A Unified Framework for Model Editing" (arXiv 2403.14236).
    """
    dtype = working_dtype(options.precision)
    solved, inner = solved_with(used, problem.keys, options.precision)
    sizes, vectors = torch.linalg.eigh(inner)
    independent = sizes > torch.finfo(dtype).eps * len(sizes) * sizes[-1].clamp_min(0)
    sizes, vectors = sizes[independent], vectors[:, independent]
    notes: tuple[str, ...] = ()
    if len(sizes) < len(inner):
        notes = (
            f"the keys of {len(inner)} requests span {len(sizes)} directions: targets are met by least squares",
        )
    residual = problem.targets.to(dtype) - problem.values.to(dtype)
    # in coordinates where the change's right factor is C-orthonormal, so that nearly dependent keys cancel nothing
    whole = vectors / sizes.sqrt()  # (n, k), k the keys' rank
    left, right = residual @ whole, (solved @ whole).T  # (o, k), (k, i)
    spread = float(sizes[-1] / sizes[0]) if len(sizes) else 1.0
    return reported(
        problem,
        Update(left.to(problem.weight.dtype), right.to(problem.weight.dtype).contiguous()),
        after=problem.values.to(dtype) + left @ (whole.T @ inner),
        condition=max(spread, used.condition),
        change_norm=product_norm(left, right),
        notes=notes,
        relative_ridge=options.relative_ridge,
        precision=used.precision,
        key_rank=len(sizes),
    )
