"""Pure tensor algebra: moments, factors, column and null spaces. Knows matrices, no models."""

from zu_framework.linalg.factors import Factor, factor, factor_on_range, gram, right_solve
from zu_framework.linalg.moments import MomentAccumulator
from zu_framework.linalg.spaces import NullSpace, column_space, null_space

__all__ = [
    "Factor",
    "MomentAccumulator",
    "NullSpace",
    "column_space",
    "factor",
    "factor_on_range",
    "gram",
    "null_space",
    "right_solve",
]
