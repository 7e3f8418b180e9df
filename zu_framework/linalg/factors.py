"""Symmetric positive definite matrices, factored once and solved many times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.errors import DependentKeys, DependentRows

GRAM_BLOCK = 768  # rows a block: large enough for a fast product, small enough to profit from symmetry
POWER_STEPS = 12  # of the power iterations behind a condition estimate


@dataclass(frozen=True)
class Factor:
    """`M = U L L^T U^T`: `lower` L (m, m); `range` U (d, m) orthonormal, or None where M has full rank (U = I).

    condition: an estimate, from below, of the condition number of M on its range. rank: m.
    """

    lower: Tensor
    range: Tensor | None
    condition: float

    @property
    def rank(self) -> int:
        """Of M."""
        return self.lower.shape[0]

    def solve(self, right: Tensor) -> Tensor:
        """`M^+ right` (d, n) in the factor's precision; `right` (d, n) is taken to lie in M's range."""
        right = right.to(self.lower)
        if self.range is None:
            return self._solved(right)
        return self.range @ self._solved(self.range.T @ right)

    def _solved(self, right: Tensor) -> Tensor:
        # two triangular solves: half the time of cholesky_solve on a CPU
        half = torch.linalg.solve_triangular(self.lower, right, upper=False)
        solved: Tensor = torch.linalg.solve_triangular(self.lower.T, half, upper=True)
        return solved


def factor(moment: Tensor, dtype: torch.dtype = torch.float64) -> Factor:
    """Cholesky factor of `moment` (d, d), symmetric positive definite, computed in `dtype`; nothing is added to it.

    Raises `DependentRows` where `moment` is singular to working precision.
    """
    moment = moment.to(dtype)
    lower, failed = torch.linalg.cholesky_ex(moment)
    if int(failed) or not bool(torch.isfinite(lower).all()):
        raise DependentRows(
            f"a moment of size {moment.shape[0]} is not positive definite (pivot {int(failed)})"
        )
    condition = _condition(moment, lower)
    if condition * torch.finfo(dtype).eps * moment.shape[0] > 1:
        raise DependentRows(
            f"a moment of size {moment.shape[0]} is singular to {dtype}: condition {condition:.1e}"
        )
    return Factor(lower, None, condition)


def factor_on_range(moment: Tensor, rows: Tensor, dtype: torch.dtype = torch.float64) -> Factor:
    """The factor of `moment` (d, d) restricted to the column space of `rows` (d, k).

    Serves moments of outputs `W k` where W has dependent rows: every output lies in W's column space, so that the
    inverse is only needed there. Raises `DependentRows` where the moment is singular even there.
    """
    left, sizes, _ = torch.linalg.svd(rows.to(dtype), full_matrices=False)
    # the moment holds squares: directions below sqrt(eps) of the largest cannot be told from rounding in it
    kept = sizes > sizes[0] * (torch.finfo(dtype).eps * max(rows.shape)) ** 0.5
    basis = left[:, kept]  # (d, m)
    restricted = basis.T @ moment.to(dtype) @ basis
    within = factor((restricted + restricted.T) / 2, dtype)
    return Factor(within.lower, basis, within.condition)


def gram(matrix: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """`A A^T` (d, d) of A (d, k) in `dtype`, by blocks of rows: half the work of the plain product."""
    rows = matrix.detach().to(dtype)
    size = rows.shape[0]
    out = torch.empty(size, size, dtype=dtype, device=rows.device)
    for start in range(0, size, GRAM_BLOCK):
        stop = min(start + GRAM_BLOCK, size)
        block = rows[start:stop] @ rows[:stop].T  # (stop - start, stop)
        out[start:stop, :stop] = block
        out[:start, start:stop] = block[:, :start].T
    return out


def right_solve(matrix: Tensor, small: Tensor) -> Tensor:
    """`matrix @ small^-1` for `small` (n, n) symmetric positive definite, matrix (m, n).

    Raises `DependentKeys` where `small` is singular.
    """
    lower, failed = torch.linalg.cholesky_ex(small)
    if int(failed):
        raise DependentKeys(
            f"the system of {small.shape[0]} requests is singular: requests repeat each other; "
            "raise the weight that keeps the change small (ridge or norm_weight), or drop duplicates"
        )
    return torch.cholesky_solve(matrix.T.to(small), lower).T


def _condition(moment: Tensor, lower: Tensor) -> float:
    """Largest over smallest eigenvalue, each by a few power iterations from a fixed start."""
    start = torch.cos(torch.arange(moment.shape[0], dtype=moment.dtype, device=moment.device) * 1.7 + 0.3)[
        :, None
    ]
    large, small = start / start.norm(), start / start.norm()
    top = bottom = 0.0
    for _ in range(POWER_STEPS):
        grown, shrunk = moment @ large, torch.cholesky_solve(small, lower)
        top, bottom = float(grown.norm()), float(shrunk.norm())
        if not (top > 0 and bottom > 0):
            return float("inf")
        large, small = grown / top, shrunk / bottom
    return top * bottom
