"""`zerounlearn`: W' = P D^ W, as `(1 + slack) W + left @ right`."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import EditProblem, SolverError, Update
from zu_framework.linalg import products, reported, ridge_map, right_solve, sensitive_space, working_dtype
from zu_plugins.closed_form.options import ClosedFormOptions
from zu_plugins.closed_form.output_moment import CROWDED, DEPENDENT, output_factor, remap


def solve(problem: EditProblem, options: ClosedFormOptions) -> Update:
    """Minimise lb E||DWk - Wk||^2 + lf ||DWK - T||^2 + lr ||DW - W||^2 over D, then project the sensitive values out.

    `D^ W = W + (T - V)(I/lf + G)^-1 X^T W` with M = lb M0 + lr W W^T, X = M^-1 V, G = V^T X; `W' = P D^ W` with
    P = (1 + slack) I - Q Q^T and Q a basis of the sensitive values. The (o, o) and (n, n) systems are solved in
    `options.precision`; products with W run in W's own dtype. Factors of rank n + r (r <= n), in W's dtype.
    More requests than outputs: `_of_many`.
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
    if problem.values.shape[1] > outputs:
        return _of_many(problem, options, basis, tuple(notes))
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
        notes.append(DEPENDENT.format(rank=remapped.factor.rank, outputs=outputs))
    return reported(
        problem, update, after=after, condition=remapped.factor.condition, sensitive_rank=rank,
        change_norm=max(squared, 0.0) ** 0.5, weight_norm=float(remapped.gram.trace()) ** 0.5, notes=tuple(notes),
        sensitive_share=sensitive, removed_share=rank / outputs, slack=options.slack, ridge=options.ridge,
        precision=remapped.factor.precision,
    )  # fmt: skip


def _of_many(
    problem: EditProblem, options: ClosedFormOptions, basis: Tensor, notes: tuple[str, ...]
) -> Update:
    """The same for more requests than outputs, in O(o^2 n) time and O(o^2) memory beside what was given.

    `D^ = I + lf (T - V) V^T (M + lf V V^T)^-1`, one (o, o) system, requests block by block; W' = P D^ W.
    """
    dtype, weight, outputs = basis.dtype, problem.weight.detach(), len(basis)
    used, outer = output_factor(problem, options)
    gram, by_target, by_value = products(problem.values, problem.targets, problem.values, dtype=dtype)
    moved = ridge_map(used, gram, by_target - by_value, options.forget_weight)  # D^ - I
    grown = 1 + options.slack
    change = grown * moved - basis @ (basis.T @ moved) - basis @ basis.T  # P D^ - (1 + slack) I
    values = problem.values.to(dtype)
    after = grown * values + change @ values
    full = change + options.slack * torch.eye(outputs, dtype=dtype, device=change.device)
    if used.range is not None:
        notes += (DEPENDENT.format(rank=used.rank, outputs=outputs),)
    return reported(
        problem, Update(change.to(weight.dtype), weight.clone(), grown), after=after, condition=used.condition,
        sensitive_rank=basis.shape[1], change_norm=max(float(((full @ outer) * full).sum()), 0.0) ** 0.5,
        weight_norm=float(outer.trace()) ** 0.5, notes=notes,
        sensitive_share=float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300),
        removed_share=basis.shape[1] / outputs, slack=options.slack, ridge=options.ridge, precision=used.precision,
    )  # fmt: skip
