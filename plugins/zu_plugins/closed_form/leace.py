"""`leace`: the sensitive subspace leaves the site's output, and nothing is put in its place."""

from __future__ import annotations

from zu_framework import EditProblem, SolverError, Update
from zu_framework.linalg import Factor, reported, right_solve, sensitive_space, working_dtype
from zu_plugins.closed_form.editor_options import EraseOptions


def solve(problem: EditProblem, options: EraseOptions, used: Factor | None) -> Update:
    """W' = D W, the least change E||D v - v||^2 that erases Q (o, r), a basis of the sensitive values.

    orthogonal: subject to Q^T D = 0 (no output has a part along Q): `D = I - Q Q^T`, what ZeroUnlearn's projector
    does by itself. oblique: subject to D Q = 0 (outputs along Q vanish): `D = I - Q (Q^T M^-1 Q)^-1 Q^T M^-1`, M the
    value moment: LEACE's projection (Belrose et al. 2023, arXiv 2306.03819), the moment in place of the
    covariance. Rank r, in W's dtype.

    Args:
        problem: `sensitive`.
        options: The projection, the rank cut and the precision.
        used: What `erase_factor` returned: of M in the oblique form, else None.

    Raises:
        SolverError: Q spans all outputs.
    """
    dtype = working_dtype(options.precision)
    basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    outputs, rank = problem.weight.shape[0], basis.shape[1]
    if rank >= outputs:
        raise SolverError(
            f"the sensitive values of {problem.keys.shape[1]} requests span all {outputs} outputs of the site: nothing "
            "would be left of it; forget fewer facts at a time"
        )
    condition, precision = 1.0, str(dtype).removeprefix("torch.")
    rows = basis  # (o, r): D = I - basis rows^T
    if used is not None and rank:
        solved = used.solve(basis)  # M^-1 Q (o, r)
        inner = basis.T @ solved
        rows = right_solve(solved, (inner + inner.T) / 2)
        condition, precision = used.condition, used.precision
    right = rows.to(problem.weight.dtype).T @ problem.weight.detach()  # (r, i)
    values = problem.values.to(dtype)
    return reported(
        problem,
        Update(-basis.to(problem.weight.dtype), right),
        after=values - basis @ (rows.T @ values),
        condition=condition,
        change_norm=float(right.to(dtype).norm()),
        sensitive_rank=rank,
        removed_share=rank / outputs,
        precision=precision,
        projection=options.projection,
        relative_ridge=0.0 if used is None else options.relative_ridge,
    )
