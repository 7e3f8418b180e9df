"""What the closed forms compute once for a site, and solve every edit of it with: factors of its moments."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zu_framework import Background, DependentRows, EditProblem
from zu_framework.linalg import (
    Factor,
    NullSpace,
    factor,
    factor_on_range,
    gram,
    moment_factor,
    null_space_by_rule,
    working_dtype,
)
from zu_plugins.closed_form.editor_options import AlphaEditOptions, EraseOptions, MomentOptions
from zu_plugins.closed_form.options import GradientOptions, LocalOptions, RemapOptions

ALPHAEDIT_THRESHOLD = 0.02  # arXiv 2410.02355, `nullspace_threshold` of its hyperparameters
GRADIENT_THRESHOLD = 0.01  # arXiv 2605.18879: its code keeps singular values of the key moment at most this


@dataclass(frozen=True)
class OutputFactor:
    """The factor of M = lb M0 + ridge W W^T (o, o), and W W^T itself."""

    moment: Factor
    gram: Tensor


def key_factor(background: Background, weight: Tensor, options: MomentOptions) -> Factor:
    """Return the factor of C + relative_ridge mean(diag C) I (i, i), for `rome`, `memit` and `emmet`.

    Raises:
        DependentRows: C is singular: there is less general text than the site has inputs.
    """
    moment = background.require("key_moment").to(weight.device)
    return moment_factor(
        moment,
        options.precision,
        relative_ridge=options.relative_ridge,
        refusal="the key moment is singular ({cause}): give more background text than the site has inputs "
        f"({len(moment)}), or a relative_ridge (for example 1e-6)",
    )


def alphaedit_space(background: Background, weight: Tensor, options: AlphaEditOptions) -> NullSpace:
    """Return the null space of the background's keys, for `alphaedit`.

    Raises:
        EmptyNullSpace: The rule keeps no direction.
    """
    return _key_null_space(background, weight, options, ALPHAEDIT_THRESHOLD)


def gradient_space(background: Background, weight: Tensor, options: GradientOptions) -> NullSpace:
    """Return the null space of the background's keys, for `zerounlearn-gd`.

    Raises:
        EmptyNullSpace: The rule keeps no direction.
    """
    return _key_null_space(background, weight, options, GRADIENT_THRESHOLD)


def erase_factor(background: Background, weight: Tensor, options: EraseOptions) -> Factor | None:
    """Return the factor of M0 + relative_ridge mean(diag M0) I (o, o), which `leace` needs in its oblique form alone.

    Raises:
        DependentRows: The value moment is singular.
    """
    if options.projection == "orthogonal":
        return None
    return moment_factor(
        background.value_moment_under(weight).to(weight.device),
        options.precision,
        relative_ridge=options.relative_ridge,
        refusal="the value moment is singular ({cause}): raise relative_ridge, or use projection: orthogonal",
    )


def local_factor(background: Background, weight: Tensor, options: LocalOptions) -> Factor | OutputFactor:
    """Return what `zerounlearn-local` inverts: lb C + ridge I (i, i) in space key, else as `output_factor`.

    Raises:
        DependentRows: It is singular.
    """
    if options.space == "output":
        return output_factor(background, weight, options)
    return moment_factor(
        background.require("key_moment").to(weight.device),
        options.precision,
        weight=options.background_weight,
        ridge=options.ridge,
        refusal="background_weight C + ridge I is singular ({cause}): raise ridge",
    )


def output_factor(background: Background, weight: Tensor, options: RemapOptions) -> OutputFactor:
    """Return the factor of M = lb M0 + ridge W W^T (o, o), and W W^T.

    Where W has dependent rows, M is singular; outputs then all lie in W's column space, and M is inverted there.

    Raises:
        DependentRows: M is singular even there (ridge 0 and too little text).
    """
    dtype, refined = working_dtype(options.precision), options.precision == "auto"
    products = gram(weight, dtype)  # W W^T (o, o)
    moment = options.background_weight * background.value_moment_under(weight).to(products)
    moment = moment + options.ridge * products
    try:
        return OutputFactor(factor(moment, dtype, refined=refined), products)
    except DependentRows:
        pass
    try:
        return OutputFactor(factor_on_range(moment, weight, dtype, refined=refined), products)
    except DependentRows as cause:
        outputs, inputs = weight.shape
        raise DependentRows(
            f"W has {outputs} outputs for {inputs} inputs, and the moment of its outputs is singular ({cause}): "
            "raise ridge, give more background text, or use solver 'zerounlearn-local' with space: key"
        ) from cause


def _key_null_space(
    background: Background, weight: Tensor, options: AlphaEditOptions | GradientOptions, published: float
) -> NullSpace:
    moment = background.require("key_moment").to(weight.device)
    return null_space_by_rule(moment, options, published, working_dtype(options.precision))


def solved_with(used: Factor, columns: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Return X = M^-1 A (d, n) and G = A^T X (n, n), symmetric, of columns A (d, n).

    Args:
        used: The factor of M.
        columns: Keys or values of the requests.
        precision: The solver's option.
    """
    columns = columns.to(working_dtype(precision))
    solved = used.solve(columns)
    inner = columns.T @ solved
    return solved, (inner + inner.T) / 2


def dependent_rows_notes(used: Factor, problem: EditProblem) -> tuple[str, ...]:
    """Return a note where W has dependent rows, so that M was inverted on its column space."""
    if used.range is None:
        return ()
    return (f"W has dependent rows (rank {used.rank} of {len(problem.weight)}): solved in its column space",)
