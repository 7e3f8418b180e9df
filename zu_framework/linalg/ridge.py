"""Ridge regression with more columns than unknowns: one system of the moment's size, columns taken block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework.linalg.factors import Factor

COLUMNS = 1024  # columns that are held in float64 at a time


def products(columns: Tensor, *others: Tensor, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Multiply by the transposed columns, block by block, so that nothing of size n is held beside what was given.

    Args:
        columns: C (d, n).
        others: Matrices B (o, n).
        dtype: The precision of the sums.

    Returns:
        `C C^T` (d, d), then `B C^T` (o, d) for each other matrix.
    """
    sums = [
        torch.zeros(len(other), len(columns), dtype=dtype, device=columns.device)
        for other in (columns, *others)
    ]
    for start in range(0, columns.shape[1], COLUMNS):
        block = columns[:, start : start + COLUMNS].to(dtype)
        for total, other in zip(sums, (columns, *others), strict=True):
            total.addmm_(other[:, start : start + COLUMNS].to(block), block.T)
    return sums


def ridge_map(used: Factor, gram: Tensor, cross: Tensor, weight: float) -> Tensor:
    """Minimise `tr(E M E^T) + weight ||E C - R||^2` over E.

    `E = weight R C^T (M + weight C C^T)^-1`, which is `R (I/weight + C^T M^-1 C)^-1 C^T M^-1` by the push-through
    identity: for n columns above d this (d, d) system is the smaller one, and O(d^2 n) in all.

    Args:
        used: The factor of M (d, d).
        gram: `C C^T` (d, d).
        cross: `R C^T` (o, d).
        weight: Above 0.

    Returns:
        E (o, d).
    """
    return weight * used.plus(gram, weight).solve(cross.T).T


def times(matrix: Tensor, columns: Tensor) -> Tensor:
    """Multiply `matrix @ columns` in the matrix's precision, block by block.

    Args:
        matrix: (o, d).
        columns: (d, n), of any float precision.

    Returns:
        (o, n), in the precision of `matrix`.
    """
    return torch.cat([matrix @ block.to(matrix) for block in torch.split(columns, COLUMNS, 1)], 1)


def identity_factor(like: Tensor, size: int) -> Factor:
    """Return the factor of the identity.

    Args:
        like: A tensor whose dtype and device it takes.
        size: d.

    Returns:
        The factor of I (d, d).
    """
    return Factor(torch.eye(size, dtype=like.dtype, device=like.device), None, 1.0)
