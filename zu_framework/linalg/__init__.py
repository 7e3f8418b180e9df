"""Tensor algebra: moments, factors, column and null spaces, and what closed forms share. Knows matrices, no models."""

from zu_framework.linalg.closed_forms import (
    background_null_space,
    null_space_key,
    reported,
    sensitive_space,
    working_dtype,
)
from zu_framework.linalg.factors import Factor, condition_number, factor, factor_on_range, gram, right_solve
from zu_framework.linalg.moments import MomentAccumulator
from zu_framework.linalg.ridge import identity_factor, products, ridge_map, times
from zu_framework.linalg.rounding import ROWS, rounded
from zu_framework.linalg.spaces import NullSpace, column_space, null_space

__all__ = [
    "ROWS",
    "Factor",
    "MomentAccumulator",
    "NullSpace",
    "background_null_space",
    "column_space",
    "condition_number",
    "factor",
    "factor_on_range",
    "gram",
    "identity_factor",
    "null_space",
    "null_space_key",
    "products",
    "reported",
    "ridge_map",
    "right_solve",
    "rounded",
    "sensitive_space",
    "times",
    "working_dtype",
]
