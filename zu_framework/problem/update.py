"""What a solver returns: a change of one weight, as factors or dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from zu_framework.errors import SolverError


@dataclass(frozen=True)
class Update:
    """`W' = scale * W + left @ right` (left (o, r), right (r, i)), or `W' = W + dense` (dense (o, i)).

    report: what the solver measured and what it added (residual, condition number, rank, relative norm, ridge ...).
    """

    left: Tensor | None = None
    right: Tensor | None = None
    scale: float = 1.0
    dense: Tensor | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        factored = self.left is not None and self.right is not None
        if factored == (self.dense is not None) or (self.left is None) != (self.right is None):
            raise SolverError("an Update holds either left and right, or dense")
        if self.dense is not None and self.scale != 1.0:
            raise SolverError("a dense Update has scale 1: fold the scaling into it")
        if self.left is not None and self.right is not None and self.left.shape[1] != self.right.shape[0]:
            raise SolverError(
                f"left {tuple(self.left.shape)} and right {tuple(self.right.shape)} do not share their inner size"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(o, i) of the weight that it fits."""
        if self.dense is not None:
            return self.dense.shape[0], self.dense.shape[1]
        assert self.left is not None and self.right is not None
        return self.left.shape[0], self.right.shape[1]

    @property
    def exactly_low_rank(self) -> bool:
        """Whether `W' - W` is `left @ right` and nothing else (what a LoRA adapter can hold)."""
        return self.dense is None and self.scale == 1.0

    @property
    def kind(self) -> Literal["factored", "dense"]:
        """How the change is held."""
        return "factored" if self.dense is None else "dense"

    def apply(self, weight: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Compute W', in float64 for float64 weights, else in float32.

        Args:
            weight: W (o, i).
            out: Where W' is written: like `weight`, or `weight` itself; None makes a new tensor.

        Returns:
            W' (o, i), in the weight's dtype and on its device.
        """
        work = torch.promote_types(weight.dtype, torch.float32)
        if out is None:
            return self.applied(weight, work).to(weight.dtype)
        if self.left is not None and self.right is not None and out.dtype == weight.dtype == work:
            base = weight.detach()
            return torch.addmm(
                base, self.left.to(base), self.right.to(base), beta=self.scale, out=out.detach()
            )
        return out.detach().copy_(self.applied(weight, work))

    def applied(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Compute W' before any rounding to the weight's own dtype.

        Args:
            weight: W (o, i).
            dtype: Of the computation.

        Returns:
            W' (o, i) in `dtype`.
        """
        base = weight.detach().to(dtype)
        if self.dense is not None:
            return base + self.dense.to(base)
        assert self.left is not None and self.right is not None
        return torch.addmm(base, self.left.to(base), self.right.to(base), beta=self.scale)  # (o, i)

    def rows(self, rows: slice) -> Update:
        """Return the update of some rows of the weight.

        Args:
            rows: Of W (o, i).

        Returns:
            An update of (rows, i), its factors views.
        """
        if self.dense is not None:
            return Update(dense=self.dense[rows])
        assert self.left is not None
        return Update(left=self.left[rows], right=self.right, scale=self.scale)

    def undone(self, weight: Tensor) -> Tensor:
        """Compute W from W': `(W' - left @ right) / scale`, or `W' - dense`.

        Args:
            weight: W' (o, i).

        Returns:
            W (o, i), in the precision of `weight`.

        Raises:
            SolverError: The update has scale 0, so that nothing of W is left in W'.
        """
        if self.dense is not None:
            return weight - self.dense.to(weight)
        assert self.left is not None and self.right is not None
        if self.scale == 0.0:
            raise SolverError(
                "this update left nothing of the weight (scale 0): only its original can undo it"
            )
        return torch.addmm(weight, self.left.to(weight), self.right.to(weight), alpha=-1.0) / self.scale

    def delta(self, weight: Tensor) -> Tensor:
        """Compute `W' - W` before any rounding.

        Args:
            weight: W (o, i).

        Returns:
            (o, i), in float64.
        """
        base = weight.detach().to(torch.float64)
        if self.dense is not None:
            return self.dense.to(base)
        assert self.left is not None and self.right is not None
        return torch.addmm(base, self.left.to(base), self.right.to(base), beta=self.scale - 1.0)


def composed(steps: Sequence[Update]) -> Update:
    """Several factored steps as one: `s2 (s1 W + L1 R1) + L2 R2`.

    Args:
        steps: In the order written.

    Returns:
        One step.

    Raises:
        SolverError: A step is dense.
    """
    first, *rest = steps
    for step in rest:
        if first.left is None or first.right is None or step.left is None or step.right is None:
            raise SolverError("a dense step cannot be composed into factors")
        first = Update(
            left=torch.cat([step.scale * first.left, step.left.to(first.left)], dim=1),
            right=torch.cat([first.right, step.right.to(first.right)], dim=0),
            scale=step.scale * first.scale,
        )
    return first
