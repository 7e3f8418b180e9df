"""Storing W' in the weight's own dtype: computed in float64 by blocks of rows, and what rounding lost."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework.problem import Update

ROWS = 512  # rows of W that are held in float64 at a time


def rounded(update: Update, weight: Tensor) -> tuple[Tensor, float]:
    """Apply an update in float64, by blocks of rows, and round once to the weight's dtype.

    Args:
        update: Of shape (o, i).
        weight: W (o, i), left as it is.

    Returns:
        W' (o, i) in the weight's dtype, and the relative rounding loss: the norm of what rounding changed over that of
        W' - W, 0 where nothing changed.
    """
    new = torch.empty_like(weight)
    lost = change = 0.0
    for start in range(0, weight.shape[0], ROWS):
        rows = slice(start, start + ROWS)
        block = weight[rows]
        exact = _rows(update, rows).applied(block, torch.float64)
        new[rows] = exact.to(weight.dtype)
        lost += float((new[rows].to(torch.float64) - exact).square().sum())
        change += float((exact - block.to(torch.float64)).square().sum())
    return new, (lost / change) ** 0.5 if change > 0 else 0.0


def _rows(update: Update, rows: slice) -> Update:
    if update.dense is not None:
        return Update(dense=update.dense[rows])
    assert update.left is not None
    return Update(left=update.left[rows], right=update.right, scale=update.scale)
