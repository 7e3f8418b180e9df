"""The minimum of a zero, a target and a norm term: it splits over the sensitive directions and across them."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework.linalg import right_solve


def split_factor(
    values: Tensor,
    targets: Tensor,
    basis: Tensor,
    inner: Tensor,
    target_weight: float,
    zero_weight: float,
    norm_weight: float,
) -> Tensor:
    """Return Y (o, n), the minimiser of a ||V + Y G - T||^2 + z ||Q^T (V + Y G)||^2 + b tr(Y G Y^T).

    `Y = (I - Q Q^T)(T - V)(G + b/a I)^-1 + Q (a/(a+z) Q^T T - Q^T V)(G + b/(a+z) I)^-1`: one solve along Q, one across.

    Args:
        values: V (o, n).
        targets: T (o, n).
        basis: Q (o, r), orthonormal.
        inner: G (n, n), symmetric.
        target_weight: a, above 0.
        zero_weight: z.
        norm_weight: b.
    """
    both = target_weight + zero_weight
    identity = torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    gap = targets - values
    across = right_solve(gap - basis @ (basis.T @ gap), inner + norm_weight / target_weight * identity)
    along = basis.T @ (target_weight / both * targets - values)  # (r, n)
    return across + basis @ right_solve(along, inner + norm_weight / both * identity)
