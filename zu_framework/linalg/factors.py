"""Symmetric positive definite matrices, factored once and solved many times."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zu_framework.errors import DependentKeys, DependentRows

GRAM_BLOCK = 768  # rows a block: large enough for a fast product, small enough to profit from symmetry
POWER_STEPS = 12  # of the power iterations behind a condition estimate

# condition number up to which float32 factors serve: each refinement then gains two digits
REFINE_BELOW = 1e5
REFINEMENTS = 12


@dataclass(frozen=True)
class Factor:
    """A symmetric positive semidefinite M (d, d) as `U L L^T U^T`.

    Args:
        lower: L (m, m), lower triangular.
        range: U (d, m), orthonormal; None where M has full rank (U = I).
        condition: An estimate, from below, of the condition number of M on its range.
        exact: M (m, m) in float64 where L is of float32 and solutions are refined against it; else None.
    """

    lower: Tensor
    range: Tensor | None
    condition: float
    exact: Tensor | None = None

    @property
    def rank(self) -> int:
        """m, the rank of M."""
        return self.lower.shape[0]

    @property
    def precision(self) -> str:
        """What solutions come from: "float64", "float32", or "float32 refined" to float64."""
        return str(self.lower.dtype).removeprefix("torch.") + (" refined" if self.exact is not None else "")

    def solve(self, right: Tensor) -> Tensor:
        """Solve `M x = right`.

        Args:
            right: (d, n), taken to lie in the range of M.

        Returns:
            x (d, n) in the factor's precision. A refined factor returns float64: it repeats
            `x <- x + (L L^T)^-1 (right - M x)` until the residual no longer falls.
        """
        right = right.to(self.lower if self.exact is None else self.exact)
        if self.range is None:
            return self._solved(right)
        return self.range @ self._solved(self.range.T @ right)

    def plus(self, gram: Tensor, weight: float) -> Factor:
        """Factor `M + weight * gram`.

        Args:
            gram: (d, d), positive semidefinite, its range in that of M.
            weight: Not negative.

        Returns:
            The factor, in this one's precision.
        """
        inner = self.lower @ self.lower.T if self.exact is None else self.exact
        added = gram.to(inner)
        if self.range is not None:
            added = self.range.T @ added @ self.range
        return replace(factor(inner + weight * added, inner.dtype), range=self.range)

    def _solved(self, right: Tensor) -> Tensor:
        if self.exact is None:
            return self._substituted(right)
        size = float(right.norm())
        found = self._substituted(right.to(self.lower)).to(right)
        last = float("inf")
        for _ in range(REFINEMENTS):
            missing = right - self.exact @ found
            left = float(missing.norm())
            if not left < last / 2 or left <= torch.finfo(right.dtype).eps * size:
                break
            found += self._substituted(missing.to(self.lower)).to(right)
            last = left
        return found

    def _substituted(self, right: Tensor) -> Tensor:
        # two triangular solves: half the time of cholesky_solve on a CPU
        half = torch.linalg.solve_triangular(self.lower, right, upper=False)
        solved: Tensor = torch.linalg.solve_triangular(self.lower.T, half, upper=True)
        return solved


def factor(moment: Tensor, dtype: torch.dtype = torch.float64, *, refined: bool = False) -> Factor:
    """Factor a moment by Cholesky; nothing is added to it.

    Args:
        moment: (d, d), symmetric positive definite.
        dtype: The precision of the factor.
        refined: Factor in float32 where the condition number, measured on that factor, is at most 1e5, and refine
            solutions to float64; `dtype` elsewhere.

    Returns:
        The factor, of full rank.

    Raises:
        DependentRows: `moment` is singular to working precision.
    """
    if refined and dtype == torch.float64:
        try:
            single = factor(moment, torch.float32)
        except DependentRows:
            return factor(moment, dtype)
        candidate = replace(single, exact=moment.to(dtype, copy=True))
        if single.condition <= REFINE_BELOW and _refines(candidate):
            return candidate
        return factor(moment, dtype)
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
    # row by row, as it is read from a file: solutions are then the same to the bit
    return Factor(lower.contiguous(), None, condition)


def factor_on_range(
    moment: Tensor, rows: Tensor, dtype: torch.dtype = torch.float64, *, refined: bool = False
) -> Factor:
    """Factor a moment on the column space of `rows`.

    Serves moments of outputs `W k` where W has dependent rows: every output lies in W's column space, so that the
    inverse is only needed there.

    Args:
        moment: (d, d), symmetric.
        rows: (d, k), whose columns span the space.
        dtype: The precision of the factor.
        refined: As in `factor`.

    Returns:
        The factor, of the rank of `rows`.

    Raises:
        DependentRows: `moment` is singular even there.
    """
    left, sizes, _ = torch.linalg.svd(rows.to(dtype), full_matrices=False)
    # the moment holds squares: directions below sqrt(eps) of the largest cannot be told from rounding in it
    within = sizes > sizes[0] * (torch.finfo(dtype).eps * max(rows.shape)) ** 0.5
    basis = left[:, within]  # (d, m)
    restricted = basis.T @ moment.to(dtype) @ basis
    return replace(factor((restricted + restricted.T) / 2, dtype, refined=refined), range=basis)


def gram(matrix: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Multiply `A A^T` by blocks of rows: half the work of the plain product.

    Args:
        matrix: A (d, k).
        dtype: The precision of the product.

    Returns:
        (d, d), symmetric to the bit.
    """
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
    """Solve `x small = matrix`.

    Args:
        matrix: (m, n).
        small: (n, n), symmetric positive definite, a row and a column a request.

    Returns:
        x (m, n), in the precision of `small`.

    Raises:
        DependentKeys: `small` is singular: requests repeat each other.
    """
    lower, failed = torch.linalg.cholesky_ex(small)
    if int(failed):
        raise DependentKeys(
            f"the system of {small.shape[0]} requests is singular: requests repeat each other; "
            "raise the weight that keeps the change small (ridge or norm_weight), or drop duplicates"
        )
    return torch.cholesky_solve(matrix.T.to(small), lower).T


def condition_number(matrix: Tensor) -> float:
    """Estimate the condition number of a symmetric positive definite matrix, from below.

    Args:
        matrix: (d, d).

    Returns:
        The estimate; infinite where the matrix is not positive definite.
    """
    lower, failed = torch.linalg.cholesky_ex(matrix)
    return float("inf") if int(failed) else _condition(matrix, lower)


def _refines(candidate: Factor) -> bool:
    """Whether refinement brings a probe's residual down to rounding: the condition number is known from below only."""
    assert candidate.exact is not None
    probe = _start(candidate.exact)
    missing = probe - candidate.exact @ candidate._solved(probe)
    rounding = 10 * torch.finfo(probe.dtype).eps * candidate.condition  # what float64 throughout may leave
    return float(missing.norm()) <= rounding * float(probe.norm())


def _start(moment: Tensor) -> Tensor:
    """A fixed vector (d, 1) that no eigenvector is orthogonal to, in all likelihood."""
    return torch.cos(torch.arange(moment.shape[0], dtype=moment.dtype, device=moment.device) * 1.7 + 0.3)[
        :, None
    ]


def _condition(moment: Tensor, lower: Tensor) -> float:
    """Largest over smallest eigenvalue, each by a few power iterations from a fixed start."""
    start = _start(moment)
    large, small = start / start.norm(), start / start.norm()
    top = bottom = 0.0
    for _ in range(POWER_STEPS):
        grown, shrunk = moment @ large, torch.cholesky_solve(small, lower)
        top, bottom = float(grown.norm()), float(shrunk.norm())
        if not (top > 0 and bottom > 0):
            return float("inf")
        large, small = grown / top, shrunk / bottom
    return top * bottom
