"""`zerounlearn`: W' = P D^ W, as `(1 + slack) W + left @ right`."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import EditProblem, SolverError, Update
from zu_framework.linalg import (
    products,
    reported,
    ridge_map,
    right_solve,
    sensitive_space,
    share_along,
    working_dtype,
)
from zu_plugins.closed_form.factors import OutputFactor, dependent_rows_notes, solved_with
from zu_plugins.closed_form.options import ClosedFormOptions

CROWDED = 0.25  # share of a site's output directions above which projecting them out is worth a warning


def solve(problem: EditProblem, options: ClosedFormOptions, used: OutputFactor) -> Update:
    """Minimise lb E||DWk - Wk||^2 + lf ||DWK - T||^2 + ridge ||DW - W||^2 over D, then project S out.

    `D^ W = W + (T - V)(I/lf + G)^-1 X^T W` with M = lb M0 + ridge W W^T, X = M^-1 V, G = V^T X; `W' = P D^ W` with
    P = (1 + slack) I - Q Q^T and Q a basis of the sensitive values. The (o, o) and (n, n) systems are solved in
    `options.precision`; products with W run in W's own dtype. Factors of rank n + r (r <= n), in W's dtype.
    More requests than outputs: `_of_many`. With slack 0 it is the exact minimiser subject to Q^T D W = 0.

    Args:
        problem: `keys` and `sensitive`.
        options: lb (background_weight), lf (forget_weight), ridge, slack, the rank cut and the precision.
        used: What `output_factor` returned.

    Raises:
        SolverError: Q spans all outputs.

    Source: arXiv 2605.18879; rank-n form by the push-through identity.
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
    notes: tuple[str, ...] = ()
    if rank > CROWDED * outputs:
        notes = (
            f"{rank} of {outputs} output directions ({rank / outputs:.0%}) are removed for every input: expect damage; "
            "forget fewer facts at a time, or use solver 'zerounlearn-local'",
        )
    notes += dependent_rows_notes(used.moment, problem)
    if problem.values.shape[1] > outputs:
        return _of_many(problem, options, used, basis, notes)
    solved, inner = solved_with(used.moment, problem.values, options.precision)  # (o, n), (n, n)
    values, targets = problem.values.to(dtype), problem.targets.to(dtype)
    system = inner + torch.eye(len(inner), dtype=dtype, device=inner.device) / options.forget_weight
    moved = right_solve(targets - values, system)  # A (o, n)
    grown = 1 + options.slack
    turned = grown * moved - basis @ (basis.T @ moved)  # (o, n)

    left = torch.cat([turned, -basis], 1)  # (o, n + r)
    factors = torch.cat([solved, basis], 1)  # (o, n + r): right = factors^T W
    right = factors.to(weight.dtype).T @ weight  # (n + r, i)

    # the norm of the change, slack W + left right, without touching W again: <W, Q Q^T W> is ||Q^T W||^2
    wide = right.to(dtype)
    removed = float(wide[-rank:].square().sum()) if rank else 0.0
    along = float((turned * (used.gram @ solved)).sum()) - removed  # <W, left right>
    squared = (
        options.slack**2 * float(used.gram.trace())
        + 2 * options.slack * along
        + float(((left.T @ left) * (wide @ wide.T)).sum())
    )
    reached = torch.cat([inner, basis.T @ values])  # right @ K (n + r, n)
    return _reported(
        problem,
        options,
        used,
        basis,
        Update(left.to(weight.dtype), right, grown),
        after=grown * values + left @ reached,
        squared=squared,
        notes=notes,
    )


def _of_many(
    problem: EditProblem,
    options: ClosedFormOptions,
    used: OutputFactor,
    basis: Tensor,
    notes: tuple[str, ...],
) -> Update:
    """The same for more requests than outputs, in O(o^2 n) time and O(o^2) memory beside what was given.

    `D^ = I + lf (T - V) V^T (M + lf V V^T)^-1`, one (o, o) system, requests block by block; W' = P D^ W.
    """
    dtype, weight, outputs = basis.dtype, problem.weight.detach(), len(basis)
    gram, by_target, by_value = products(problem.values, problem.targets, problem.values, dtype=dtype)
    moved = ridge_map(used.moment, gram, by_target - by_value, options.forget_weight)  # D^ - I
    grown = 1 + options.slack
    change = grown * moved - basis @ (basis.T @ moved) - basis @ basis.T  # P D^ - (1 + slack) I
    values = problem.values.to(dtype)
    full = change + options.slack * torch.eye(outputs, dtype=dtype, device=change.device)
    return _reported(
        problem,
        options,
        used,
        basis,
        Update(change.to(weight.dtype), weight.clone(), grown),
        after=grown * values + change @ values,
        squared=float(((full @ used.gram) * full).sum()),
        notes=notes,
    )


def _reported(
    problem: EditProblem,
    options: ClosedFormOptions,
    used: OutputFactor,
    basis: Tensor,
    update: Update,
    *,
    after: Tensor,
    squared: float,
    notes: tuple[str, ...],
) -> Update:
    """The update with its report; squared: ||W' - W||^2."""
    return reported(
        problem,
        update,
        after=after,
        condition=used.moment.condition,
        sensitive_rank=basis.shape[1],
        change_norm=max(squared, 0.0) ** 0.5,
        weight_norm=float(used.gram.trace()) ** 0.5,
        notes=notes,
        sensitive_share=share_along(basis, after),
        removed_share=basis.shape[1] / len(basis),
        slack=options.slack,
        ridge=options.ridge,
        precision=used.moment.precision,
    )
