"""How an edit changed a weight: the size, the rank and the singular values of `W' - W`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.engine.writing import SiteEdit
from zu_framework.problem import Update, composed

EXACT_UP_TO = 1024  # rows or columns of a dense change whose singular values are all computed
LEADING = 64  # singular values of a larger one, by a randomised method
SHOWN = 256  # singular values that the page shows at most


@dataclass(frozen=True)
class Spectrum:
    """Of one weight's change. values: descending, at most `SHOWN`; rank: None where it was not computed.

    exact: all singular values were computed, otherwise the leading ones by a randomised method. norm: Frobenius.
    """

    shape: tuple[int, int]
    values: Tensor
    rank: int | None
    norm: float
    exact: bool


@torch.no_grad()
def change_spectrum(edit: SiteEdit, weight: Tensor) -> Spectrum:
    """The spectrum of what was done to a weight, `weight` (o, i) being W' as stored.

    Where every step was factored and scaled nothing, from the factors alone, in float64; else from the stored tensors.
    """
    if all(step.exactly_low_rank for step in edit.steps):
        values = factor_values(composed(tuple(edit.steps)))
        return _spectrum(edit, values, values, exact=True)
    change = weight.detach().cpu().to(torch.float32) - edit.original.to(torch.float32)
    if min(change.shape) <= EXACT_UP_TO:
        values = torch.linalg.svdvals(change)
        return _spectrum(edit, values, values, exact=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        leading = torch.svd_lowrank(change, q=LEADING, niter=4)[1]
    return _spectrum(edit, leading, change, exact=False)


def factor_values(update: Update) -> Tensor:
    """Singular values of `left @ right` in float64, descending: those of a small matrix between orthonormal ones."""
    assert update.left is not None and update.right is not None
    _, upper = torch.linalg.qr(update.left.detach().cpu().double())  # (r, r)
    _, lower = torch.linalg.qr(update.right.detach().cpu().double().T)  # (r, r)
    values: Tensor = torch.linalg.svdvals(upper @ lower.T)
    return values


def _spectrum(edit: SiteEdit, values: Tensor, size: Tensor, *, exact: bool) -> Spectrum:
    rows, columns = edit.original.shape
    rank = None
    if exact:
        tolerance = max(rows, columns) * torch.finfo(values.dtype).eps
        rank = int((values > tolerance * values.max()).sum()) if len(values) else 0
    return Spectrum((rows, columns), values[:SHOWN].float(), rank, float(size.norm()), exact)
