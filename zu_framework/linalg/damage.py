"""What a change of a weight does to outputs, predicted without running the model."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework.linalg.factors import gram
from zu_framework.problem import Background, Update

# a right factor that is not X^T W to this share cannot be carried through the moment of outputs
MULTIPLICATIVE = 1e-3


def change_on_text(weight: Tensor, update: Update, background: Background) -> float | None:
    """Predict how far outputs on general text move: sqrt(E|Delta k|^2 / E|W k|^2), Delta = W' - W.

    From the key moment, tr(Delta C Delta^T) / tr(W C W^T), or, for a change `Delta = (s - 1) W + left X^T W` of a site
    whose outputs alone were watched, the same with M0 = W C W^T. A factored change stays factored: nothing of size
    (o, i) is formed.

    Args:
        weight: W (o, i), before the write.
        update: What is about to be written.
        background: Its key moment C (i, i) or value moment M0 (o, o).

    Returns:
        The ratio; None where no moment is there that says it.
    """
    if "key_moment" in background.given:
        moment = background.require("key_moment").to(weight.device)
        return _ratio(weight, moment, update.left, update.right, update.scale - 1, update.dense)
    if "value_moment" not in background.given:
        return None
    moment = background.require("value_moment").to(weight.device)
    identity = torch.eye(len(weight), dtype=moment.dtype, device=moment.device)
    map_of = _map_of_outputs(weight, update.dense if update.right is None else update.right)
    if map_of is None:
        return None
    if update.dense is not None:
        return _ratio(identity, moment, None, None, 0.0, map_of)
    return _ratio(identity, moment, update.left, map_of, update.scale - 1, None)


def change_on_keys(weight: Tensor, update: Update, keys: Tensor) -> list[float]:
    """Predict how far the outputs at some keys move: |Delta k| / |W k|, Delta = W' - W.

    Args:
        weight: W (o, i), before the write.
        update: What is about to be written.
        keys: (i, r) of facts that should stay.

    Returns:
        A ratio a key.
    """
    work = torch.promote_types(weight.dtype, torch.float32)
    weight, keys = weight.detach().to(work), keys.to(weight.device, work)
    values = weight @ keys  # (o, r)
    if update.dense is not None:
        moved = update.dense.to(values) @ keys
    else:
        assert update.left is not None and update.right is not None
        moved = update.left.to(values) @ (update.right.to(values) @ keys)
        if update.scale != 1.0:
            moved += (update.scale - 1.0) * values
    ratios: list[float] = (moved.norm(dim=0) / values.norm(dim=0).clamp_min(1e-30)).tolist()
    return ratios


def _ratio(
    weight: Tensor,
    moment: Tensor,
    left: Tensor | None,
    right: Tensor | None,
    scaled: float,
    dense: Tensor | None,
) -> float:
    """The ratio for Delta = scaled W + left right, or dense, with outputs W k, k of this moment."""
    weight = weight.detach().to(moment)
    outer = weight @ moment  # W C (o, i)
    whole = float((outer * weight).sum())
    if dense is not None:
        dense = dense.to(moment)
        moved = float(((dense @ moment) * dense).sum())
    else:
        assert left is not None and right is not None
        left, right = left.to(moment), right.to(moment)
        moved = float(((left.T @ left) * (right @ moment @ right.T)).sum())
        if scaled:
            moved += scaled**2 * whole + 2 * scaled * float((left.T @ (outer @ right.T)).trace())
    return (max(moved, 0.0) / whole) ** 0.5 if whole > 0 else 0.0


def _map_of_outputs(weight: Tensor, rows: Tensor | None) -> Tensor | None:
    """A (m, o) with rows (m, i) = A W, None where they are no map of the outputs."""
    assert rows is not None
    double = weight.detach().to(torch.float64)
    rows = rows.to(double)
    square = gram(double)  # W W^T (o, o)
    # W may have dependent rows; a tiny ridge leaves the map exact to far below what is asked of it
    square.diagonal().add_(1e-12 * float(square.diagonal().mean()))
    lower, failed = torch.linalg.cholesky_ex(square)
    if int(failed):
        return None
    found = torch.cholesky_solve(double @ rows.T, lower).T
    missed = float((found @ double - rows).norm())
    return found if missed <= MULTIPLICATIVE * float(rows.norm()) else None
