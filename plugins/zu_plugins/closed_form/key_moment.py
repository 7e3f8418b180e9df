"""The key moment of a site, factored once and kept with its background: every edit of the site is solved with it."""

from __future__ import annotations

from torch import Tensor

from zu_framework import DependentRows, EditProblem
from zu_framework.linalg import Factor, factor, working_dtype
from zu_plugins.closed_form.editor_options import MomentOptions


def key_factor(problem: EditProblem, options: MomentOptions) -> Factor:
    """The factor of C + ridge mean(diag C) I.

    Raises `DependentRows` where C is singular: there is less general text than the site has inputs.
    """
    dtype, ridge = working_dtype(options.precision), options.ridge

    def factored() -> Factor:
        moment = problem.background.key_moment.to(problem.weight.device, dtype, copy=True)
        if ridge:
            moment.diagonal().add_(ridge * moment.diagonal().mean())
        try:
            return factor(moment, dtype, refined=options.precision == "auto")
        except DependentRows as cause:
            raise DependentRows(
                f"the key moment is singular ({cause}): give more background text than the site has inputs "
                f"({len(moment)}), or a ridge (for example 1e-6)"
            ) from cause

    # what is written to the weight does not change it: one factor serves all passes of a run
    return problem.background.cached(("key_factor", ridge, options.precision), factored, of_weight=False)


def whitened(problem: EditProblem, options: MomentOptions) -> tuple[Tensor, Tensor, Factor]:
    """X = C^-1 K (i, n), G = K^T X (n, n), symmetric, and the factor of `key_factor`."""
    used = key_factor(problem, options)
    keys = problem.keys.to(working_dtype(options.precision))
    solved = used.solve(keys)
    inner = keys.T @ solved
    return solved, (inner + inner.T) / 2, used
