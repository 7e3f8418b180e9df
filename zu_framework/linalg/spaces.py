"""Column spaces by numerical rank, and null spaces of moments by an explicit rule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.errors import EmptyNullSpace, SolverError

BY_GRAM = 64  # columns from which a singular decomposition is the slower way


def column_space(matrix: Tensor, tolerance: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return an orthonormal basis of the column space of a matrix.

    Args:
        matrix: (d, n).
        tolerance: The numerical rank r counts singular values above this share of the largest.
        dtype: The precision of the decomposition and of the basis.

    Returns:
        Q (d, r); r = 0 for a zero matrix.
    """
    matrix = matrix.to(dtype)
    # squares of singular values hold half the digits: enough for a tolerance well above their rounding
    if min(matrix.shape) >= BY_GRAM and tolerance >= 100 * torch.finfo(dtype).eps ** 0.5:
        return _column_space_by_gram(matrix, tolerance)
    left, sizes, _ = torch.linalg.svd(matrix, full_matrices=False)
    # a zero matrix has no direction at all, though every value passes `>= tolerance * 0`
    basis: Tensor = left[:, sizes > max(tolerance * float(sizes[0]), torch.finfo(dtype).tiny)]
    return basis


def _column_space_by_gram(matrix: Tensor, tolerance: float) -> Tensor:
    """By the eigenvectors of the smaller of `A A^T` and `A^T A`: a few times the speed of a singular decomposition."""
    tall = matrix.shape[0] > matrix.shape[1]
    squares, vectors = torch.linalg.eigh(matrix.T @ matrix if tall else matrix @ matrix.T)
    sizes = squares.clamp_min(0).sqrt()
    strong = vectors[:, sizes > max(tolerance * float(sizes[-1]), torch.finfo(matrix.dtype).tiny)].flip(1)
    basis: Tensor = torch.linalg.qr(matrix @ strong)[0] if tall else strong.contiguous()
    return basis


@dataclass(frozen=True)
class NullSpace:
    """The null space of a moment, by a basis of it or of its complement, whichever is smaller.

    Args:
        basis: Orthonormal: N (i, p) of the null space, or (i, i - p) of its complement.
        energy: Share of the moment's trace that lies in the null space.
        complement: Whether `basis` is of the complement.
    """

    basis: Tensor
    energy: float
    complement: bool = False

    @property
    def rank(self) -> int:
        """p, the dimension of the null space."""
        return self.basis.shape[0] - self.basis.shape[1] if self.complement else self.basis.shape[1]

    def project(self, matrix: Tensor) -> Tensor:
        """Project columns on the null space.

        Args:
            matrix: (i, n).

        Returns:
            `N N^T matrix` (i, n), in the precision of the basis.
        """
        matrix = matrix.to(self.basis)
        along = self.basis @ (self.basis.T @ matrix)
        return matrix - along if self.complement else along


def null_space(
    moment: Tensor,
    *,
    threshold: float | None = None,
    energy: float | None = None,
    rank: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> NullSpace:
    """Find the weakest directions of a moment, by exactly one rule.

    Args:
        moment: (i, i), symmetric positive semidefinite.
        threshold: Directions of singular values at most this, as the moment has them (the published rule).
        energy: As many of the weakest directions as hold together at most this share of the trace.
        rank: This many of the weakest directions.
        dtype: The precision of the decomposition and of the basis.

    Returns:
        The null space, of at least one direction.

    Raises:
        SolverError: Not exactly one rule is given.
        EmptyNullSpace: The rule leaves no direction; the message says the smallest singular value.
    """
    if sum(rule is not None for rule in (threshold, energy, rank)) != 1:
        raise SolverError("a null space is given by exactly one of null_threshold, null_energy and null_rank")
    values, vectors = torch.linalg.eigh(moment.to(dtype))  # ascending
    values = values.clamp_min(0)  # rounding may push the zeros of a second moment below zero
    total = float(values.sum())
    if threshold is not None:
        count = int((values <= threshold).sum())
    elif energy is not None:
        count = int((values.cumsum(0) <= energy * total).sum())
    else:
        assert rank is not None
        count = min(rank, len(values))
    if count == 0:
        rule = f"null_threshold {threshold:g}" if threshold is not None else f"null_energy {energy:g}"
        if threshold is None and energy is None:
            rule = "null_rank 0"
        raise EmptyNullSpace(
            f"no direction of the background keys falls under {rule}: the smallest singular value of their moment is "
            f"{float(values[0]):.3g} of {float(values[-1]):.3g}; raise null_threshold above it, give null_energy "
            "(for example 0.01) or null_rank (for example 64) instead"
        )
    share = float(values[:count].sum()) / total if total > 0 else 0.0
    if 2 * count > len(values):
        return NullSpace(vectors[:, count:].contiguous(), share, complement=True)
    return NullSpace(vectors[:, :count].contiguous(), share)
