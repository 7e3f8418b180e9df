"""Second moments and means of streamed vectors: products in float32, sums in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zu_framework.problem import Site

STRIP = 1024  # columns a product holds at a time: half the work of the full square, and no second (d, d) beside it
ROWS = 4096  # rows that are summed in float32 before float64 takes over


class MomentAccumulator:
    """Sums `x x^T` and `x` over batches of rows; `moment` and `mean` divide by the count.

    Args:
        size: d, of a row.
        device: Where the sums are held.
        second: False sums `x` alone.

    Products run in the rows' own precision, float32 at least, over at most 4096 rows; these partial sums are added up
    in float64. Against float64 throughout, the moment of float32 rows differs by a few 1e-8, relative (Frobenius),
    whatever the number of rows: less than the float32 forward pass that made them. A product of float32 costs half of
    one in float64 on a CPU, and a thirtieth on many GPUs.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu", *, second: bool = True) -> None:
        self.count = 0
        self.total = torch.zeros(size, dtype=torch.float64, device=device)  # (d,)
        # (d, d), of which the block triangle below the diagonal is filled
        self.products = torch.zeros(size, size, dtype=torch.float64, device=device) if second else None

    def add(self, rows: Tensor) -> None:
        """Add a batch.

        Args:
            rows: (m, d), of any float precision.
        """
        rows = rows.detach()
        self.count += rows.shape[0]
        if self.products is None:
            self.total += rows.sum(0, dtype=torch.float64).to(self.total.device)
            return
        work = torch.promote_types(rows.dtype, torch.float32)
        for block in torch.split(rows.to(self.total.device, work), ROWS):
            self.total += block.sum(0, dtype=torch.float64)
            for start in range(0, block.shape[1], STRIP):
                stop = min(start + STRIP, block.shape[1])
                self.products[start:stop, :stop] += block[:, start:stop].T @ block[:, :stop]

    @property
    def sums(self) -> list[Tensor]:
        """The running sums, to be stored, restored or added up over processes in place."""
        return [self.total] if self.products is None else [self.total, self.products]

    @property
    def moment(self) -> Tensor:
        """E[x x^T] (d, d): raw, not centred, symmetric to the bit."""
        assert self.products is not None
        moment = self.products.tril().div_(max(self.count, 1))
        moment += moment.tril(-1).T
        return moment

    @property
    def mean(self) -> Tensor:
        """E[x] (d,)."""
        return self.total / max(self.count, 1)


class SiteSums:
    """Sums of several moments at several sites.

    Args:
        weights: W (o, i) of each site, by module: of its sizes, and where sums are held.
        entries: Module and moment: "key_moment", "value_moment" or "mean_value".
    """

    def __init__(self, weights: Mapping[str, Tensor], entries: Sequence[tuple[str, str]]) -> None:
        self.by_entry: dict[tuple[str, str], MomentAccumulator] = {}
        for module, moment in entries:
            outputs, inputs = weights[module].shape
            size = inputs if moment == "key_moment" else outputs
            self.by_entry[module, moment] = MomentAccumulator(
                size, weights[module].device, second=moment != "mean_value"
            )

    def add(self, taken: Tensor | None, site: Site, inputs: Tensor, outputs: Tensor) -> None:
        """Add what a site reads and gives at some tokens.

        Args:
            taken: Numbers of the tokens that count; None for all.
            site: Whose they are.
            inputs: (t, i), read where a key moment is summed.
            outputs: (t, o), read where a moment of values is.
        """
        for (module, moment), sums in self.by_entry.items():
            if module == site.module:
                rows = inputs if moment == "key_moment" else outputs
                sums.add(rows if taken is None else rows.index_select(0, taken.to(rows.device)))
