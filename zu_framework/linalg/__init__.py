"""Tensor algebra: moments, factors, column and null spaces, and what closed forms share. Knows matrices, no models."""

from zu_framework.linalg.closed_forms import (
    gram_norm,
    moment_factor,
    null_space_by_rule,
    null_space_notes,
    product_norm,
    reported,
    sensitive_space,
    share_along,
    working_dtype,
)
from zu_framework.linalg.damage import change_on_keys, change_on_text
from zu_framework.linalg.factors import Factor, condition_number, factor, factor_on_range, gram, right_solve
from zu_framework.linalg.moments import MomentAccumulator
from zu_framework.linalg.ridge import identity_factor, products, ridge_map, times
from zu_framework.linalg.rounding import rounded, row_blocks
from zu_framework.linalg.spaces import NullSpace, column_space, null_space

__all__ = [
    "Factor",
    "MomentAccumulator",
    "NullSpace",
    "change_on_keys",
    "change_on_text",
    "column_space",
    "condition_number",
    "factor",
    "factor_on_range",
    "gram",
    "gram_norm",
    "identity_factor",
    "moment_factor",
    "null_space",
    "null_space_by_rule",
    "null_space_notes",
    "product_norm",
    "products",
    "reported",
    "ridge_map",
    "right_solve",
    "rounded",
    "row_blocks",
    "sensitive_space",
    "share_along",
    "times",
    "working_dtype",
]
