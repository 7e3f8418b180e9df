"""Second moments and means of streamed vectors, accumulated in float64."""

from __future__ import annotations

import torch
from torch import Tensor


class MomentAccumulator:
    """Sums `x x^T` and `x` over batches of rows, in float64; `moment` and `mean` divide by the count."""

    def __init__(self, size: int, device: torch.device | str = "cpu", *, second: bool = True) -> None:
        self.count = 0
        self.total = torch.zeros(size, dtype=torch.float64, device=device)  # (d,)
        self.products = (
            torch.zeros(size, size, dtype=torch.float64, device=device) if second else None
        )  # (d, d)

    def add(self, rows: Tensor) -> None:
        """Take rows (m, d) of any float precision."""
        rows = rows.detach().to(self.total)
        self.count += rows.shape[0]
        self.total += rows.sum(0)
        if self.products is not None:
            self.products.addmm_(rows.T, rows)

    @property
    def moment(self) -> Tensor:
        """E[x x^T] (d, d): raw, not centred, symmetric to the bit."""
        assert self.products is not None
        moment = self.products / max(self.count, 1)
        return (moment + moment.T) / 2

    @property
    def mean(self) -> Tensor:
        """E[x] (d,)."""
        return self.total / max(self.count, 1)
