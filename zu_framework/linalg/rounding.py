"""Storing W' in the weight's own dtype: computed in float64 by blocks of rows, and what rounding lost."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zu_framework.problem import Update

BLOCK = 1 << 22  # bytes of W that are held in float64 at a time, in whole rows


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
    for rows in row_blocks(weight):
        block = weight[rows]
        exact = update.rows(rows).applied(block, torch.float64)
        new[rows] = exact.to(weight.dtype)
        lost += float((new[rows].to(torch.float64) - exact).square().sum())
        change += float((exact - block.to(torch.float64)).square().sum())
    return new, (lost / change) ** 0.5 if change > 0 else 0.0


def row_blocks(weight: Tensor) -> Iterator[slice]:
    """Divide the rows of a matrix into blocks that take little memory in float64.

    Args:
        weight: W (o, i).

    Yields:
        The rows of each block, in order.
    """
    count = max(1, BLOCK // max(1, 8 * weight.shape[1]))
    for start in range(0, weight.shape[0], count):
        yield slice(start, start + count)
