"""What the output-space closed forms share: one factor of the output moment per site, one solve per edit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zu_framework import DependentRows, EditProblem
from zu_framework.algebra import working_dtype
from zu_framework.linalg import Factor, factor, factor_on_range, gram
from zu_zerounlearn.options import RemapOptions

CROWDED = 0.25  # share of a site's output directions above which projecting them out is worth a warning


@dataclass(frozen=True)
class Remap:
    """X = M^-1 V (o, n), G = V^T X (n, n), and the factor of M = lb M0 + lr W W^T that gave them."""

    solved: Tensor
    inner: Tensor
    factor: Factor
    gram: Tensor


def remap(problem: EditProblem, options: RemapOptions) -> Remap:
    """Solve `M X = V`. The factor is kept with the site's background and serves every later edit of this weight.

    Where W has dependent rows, M is singular; outputs then all lie in W's column space, and M is inverted there.
    Raises `DependentRows` where it is singular even there (ridge 0 and too little text).
    """
    dtype = working_dtype(options.precision)
    background = problem.background

    def squared() -> Tensor:
        return gram(problem.weight, dtype)  # W W^T (o, o)

    def factored() -> Factor:
        moment = options.background_weight * background.value_moment.to(products)
        moment = moment + options.ridge * products
        try:
            return factor(moment, dtype)
        except DependentRows:
            pass
        try:
            return factor_on_range(moment, problem.weight, dtype)
        except DependentRows as cause:
            outputs, inputs = problem.weight.shape
            raise DependentRows(
                f"W has {outputs} outputs for {inputs} inputs, and the moment of its outputs is singular ({cause}): "
                "raise ridge, give more background text, or use solver 'zerounlearn-local' with space: key"
            ) from cause

    products = background.cached(("gram", dtype), squared)
    kept = background.cached(("moment", options.background_weight, options.ridge, dtype), factored)
    values = problem.values.to(dtype)
    solved = kept.solve(values)
    inner = values.T @ solved
    return Remap(solved, (inner + inner.T) / 2, kept, products)
