"""What the output-space closed forms share: one factor of the output moment per site, one solve per edit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zu_framework import DependentRows, EditProblem
from zu_framework.linalg import Factor, factor, factor_on_range, gram, working_dtype
from zu_plugins.closed_form.options import RemapOptions

DEPENDENT = "W has dependent rows (rank {rank} of {outputs}): solved in its column space"
CROWDED = 0.25  # share of a site's output directions above which projecting them out is worth a warning


@dataclass(frozen=True)
class Remap:
    """X = M^-1 V (o, n), G = V^T X (n, n), and the factor of M = lb M0 + lr W W^T that gave them."""

    solved: Tensor
    inner: Tensor
    factor: Factor
    gram: Tensor


def output_factor(problem: EditProblem, options: RemapOptions) -> tuple[Factor, Tensor]:
    """The factor of M (o, o), and W W^T (o, o); both are kept with the site's background and serve later edits of W.

    Where W has dependent rows, M is singular; outputs then all lie in W's column space, and M is inverted there.
    Raises `DependentRows` where it is singular even there (ridge 0 and too little text).
    """
    dtype, refined = working_dtype(options.precision), options.precision == "auto"
    background = problem.background

    def squared() -> Tensor:
        return gram(problem.weight, dtype)  # W W^T (o, o)

    def factored() -> Factor:
        moment = options.background_weight * background.value_moment.to(products)
        moment = moment + options.ridge * products
        try:
            return factor(moment, dtype, refined=refined)
        except DependentRows:
            pass
        try:
            return factor_on_range(moment, problem.weight, dtype, refined=refined)
        except DependentRows as cause:
            outputs, inputs = problem.weight.shape
            raise DependentRows(
                f"W has {outputs} outputs for {inputs} inputs, and the moment of its outputs is singular ({cause}): "
                "raise ridge, give more background text, or use solver 'zerounlearn-local' with space: key"
            ) from cause

    products = background.cached(("gram", dtype), squared)
    kept = background.cached(
        ("moment", options.background_weight, options.ridge, options.precision), factored
    )
    return kept, products


def remap(problem: EditProblem, options: RemapOptions) -> Remap:
    """Solve `M X = V`. Raises as `output_factor` does."""
    used, products = output_factor(problem, options)
    values = problem.values.to(working_dtype(options.precision))
    solved = used.solve(values)
    inner = values.T @ solved
    return Remap(solved, (inner + inner.T) / 2, used, products)
