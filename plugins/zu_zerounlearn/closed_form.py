"""`zerounlearn`: W' = P D^ W, as `(1 + slack) W + left @ right`."""

from __future__ import annotations

import torch

from zu_framework import EditProblem, SolverError, Update
from zu_framework.algebra import reported, sensitive_space, working_dtype
from zu_framework.linalg import right_solve
from zu_zerounlearn.options import ClosedFormOptions
from zu_zerounlearn.remap import CROWDED, remap


def solve(problem: EditProblem, options: ClosedFormOptions) -> Update:
    """Minimise lb E||DWk - Wk||^2 + lf ||DWK - T||^2 + lr ||DW - W||^2 over D, then project the sensitive values out.

    `D^ W = W + (T - V)(I/lf + G)^-1 X^T W` with M = lb M0 + lr W W^T, X = M^-1 V, G = V^T X; `W' = P D^ W` with
    P = (1 + slack) I - Q Q^T and Q a basis of the sensitive values. The (o, o) and (n, n) systems are solved in
    `options.precision`; products with W run in W's own dtype. Factors of rank n + r (r <= n), in W's dtype.
    With slack 0 it is the exact minimiser subject to Q^T D W = 0. Raises `SolverError` where Q spans all outputs,
    `DependentRows` where M cannot be inverted. Source: arXiv 2605.18879; rank-n form by the push-through identity.
    """
    dtype = working_dtype(options.precision)
    weight = problem.weight.detach()
    outputs = weight.shape[0]
    basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    rank = basis.shape[1]
    if rank >= outputs:
        raise SolverError(
            f"the sensitive values of {problem.keys.shape[1]} requests span all {outputs} outputs of the site: nothing "
            "would be left of it; forget fewer facts at a time, or use solver 'zerounlearn-local'"
        )
    notes = []
    if rank > CROWDED * outputs:
        notes.append(
            f"{rank} of {outputs} output directions ({rank / outputs:.0%}) are removed for every input: expect damage; "
            "forget fewer facts at a time, or use solver 'zerounlearn-local'"
        )
    remapped = remap(problem, options)
    solved, inner = remapped.solved, remapped.inner  # (o, n), (n, n)
    values, targets = problem.values.to(dtype), problem.targets.to(dtype)
    system = inner + torch.eye(len(inner), dtype=dtype, device=inner.device) / options.forget_weight
    moved = right_solve(targets - values, system)  # A (o, n)
    grown = 1 + options.slack
    turned = grown * moved - basis @ (basis.T @ moved)  # (o, n)

    left = torch.cat([turned, -basis], 1)  # (o, n + r)
    factors = torch.cat([solved, basis], 1)  # (o, n + r): right = factors^T W
    right = factors.to(weight.dtype).T @ weight  # (n + r, i)
    update = Update(left.to(weight.dtype), right, grown)

    # the norm of the change, slack W + left right, without touching W again: <W, Q Q^T W> is ||Q^T W||^2
    wide = right.to(dtype)
    held = float(wide[-rank:].square().sum()) if rank else 0.0
    along = float((turned * (remapped.gram @ solved)).sum()) - held  # <W, left right>
    squared = (
        options.slack**2 * float(remapped.gram.trace())
        + 2 * options.slack * along
        + float(((left.T @ left) * (wide @ wide.T)).sum())
    )
    seen = torch.cat([inner, basis.T @ values])  # right @ K (n + r, n)
    after = grown * values + left @ seen
    sensitive = float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300)
    if remapped.factor.range is not None:
        notes.append(
            f"W has dependent rows (rank {remapped.factor.rank} of {outputs}): solved in its column space"
        )
    return reported(
        problem, update, after=after, condition=remapped.factor.condition, sensitive_rank=rank,
        change_norm=max(squared, 0.0) ** 0.5, weight_norm=float(remapped.gram.trace()) ** 0.5, notes=tuple(notes),
        sensitive_share=sensitive, removed_share=rank / outputs, slack=options.slack, ridge=options.ridge,
    )  # fmt: skip
