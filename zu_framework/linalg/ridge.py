"""Ridge regression with more columns than unknowns: one system of the moment's size, columns taken block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework.linalg.factors import Factor

COLUMNS = 1024  # columns that are held in float64 at a time


def products(columns: Tensor, *others: Tensor, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """`C C^T` (d, d) and, for each other matrix B (o, n), `B C^T` (o, d), of columns C (d, n), in `dtype`.

    Blocks of columns are added up, so that nothing of size n is held beside what was given.
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
    """E (o, d), the minimiser of `tr(E M E^T) + weight ||E C - R||^2`, of gram = C C^T (d, d) and cross = R C^T (o, d).

    `E = weight R C^T (M + weight C C^T)^-1`, which is `R (I/weight + C^T M^-1 C)^-1 C^T M^-1` by the push-through
    identity: for n columns above d this (d, d) system is the smaller one, and O(d^2 n) in all.
    """
    return weight * used.plus(gram, weight).solve(cross.T).T


def times(matrix: Tensor, columns: Tensor) -> Tensor:
    """`matrix @ columns` (o, n) in the matrix's precision, whatever that of the columns (d, n), block by block."""
    return torch.cat([matrix @ block.to(matrix) for block in torch.split(columns, COLUMNS, 1)], 1)


def identity_factor(like: Tensor, size: int) -> Factor:
    """The factor of I (size, size), with dtype and device of a tensor."""
    return Factor(torch.eye(size, dtype=like.dtype, device=like.device), None, 1.0)
