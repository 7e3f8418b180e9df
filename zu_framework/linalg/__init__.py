"""Pure tensor algebra: moments, factors, column and null spaces. Knows matrices, no models."""

from zu_framework.linalg.factors import Factor, condition_number, factor, factor_on_range, gram, right_solve
from zu_framework.linalg.moments import MomentAccumulator
from zu_framework.linalg.ridge import identity_factor, products, ridge_map, times
from zu_framework.linalg.spaces import NullSpace, column_space, null_space

__all__ = [
    "Factor",
    "MomentAccumulator",
    "NullSpace",
    "column_space",
    "condition_number",
    "factor",
    "factor_on_range",
    "gram",
    "identity_factor",
    "null_space",
    "products",
    "ridge_map",
    "right_solve",
    "times",
]
