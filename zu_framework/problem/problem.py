"""Everything that a solver sees of one site."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.errors import SolverError
from zu_framework.problem.background import Background


@dataclass(frozen=True)
class EditProblem:
    """Everything a solver sees of one site.

    Outputs of all kinds are without the bias.

    Args:
        weight: W (o, i), float32 or float64.
        keys: K (i, n), what the site reads for each request.
        values: V (o, n) = W K.
        targets: T (o, n), what the site should give instead.
        sensitive: S (o, n), what it gives to say the answers; None where the solver does not need it.
        background: Moments of general text at the site.
        earlier_keys: (i, m) of edits that the model carries.
        bare_keys: (i, n) of the prompts without context.
        retain_keys: (i, r) of the facts to retain.

    Raises:
        SolverError: Shapes do not fit, or an entry is NaN or infinite.
    """

    weight: Tensor
    keys: Tensor
    values: Tensor
    targets: Tensor
    sensitive: Tensor | None
    background: Background
    earlier_keys: Tensor | None = None
    bare_keys: Tensor | None = None
    retain_keys: Tensor | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise SolverError(f"weight must be a matrix (o, i), got shape {tuple(self.weight.shape)}")
        outputs, inputs = self.weight.shape
        if self.keys.ndim != 2 or self.keys.shape[1] == 0:
            raise SolverError(f"keys must be (i, n) with n >= 1, got shape {tuple(self.keys.shape)}")
        n = self.keys.shape[1]
        wanted = {
            "keys": (inputs, n),
            "values": (outputs, n),
            "targets": (outputs, n),
            "sensitive": (outputs, n),
            "bare_keys": (inputs, n),
        }
        for name, shape in wanted.items():
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise SolverError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {shape} for W {outputs, inputs}"
                )
        for name in ("earlier_keys", "retain_keys"):
            tensor = getattr(self, name)
            if tensor is not None and (tensor.ndim != 2 or tensor.shape[0] != inputs):
                raise SolverError(f"{name} has shape {tuple(tensor.shape)}, expected ({inputs}, m)")
        for name in ("weight", "retain_keys", *wanted):
            tensor = getattr(self, name)
            if tensor is not None and not _finite(tensor):
                raise SolverError(
                    f"{name} holds NaN or infinite entries: the model or its targets are broken"
                )

    @property
    def key_moment(self) -> Tensor:
        """C (i, i). Raises `SolverError` where the background does not hold it."""
        return self.background.require("key_moment")

    @property
    def value_moment(self) -> Tensor:
        """M0 (o, o), or `W C W^T` in float64. Raises `SolverError` where neither moment is there."""
        return self.background.value_moment_under(self.weight)


def _finite(tensor: Tensor) -> bool:
    """Whether every entry is finite. A sum meets every NaN and infinity, twenty times faster than a mask does.

    A sum that is not finite may have overflowed: the mask then decides.
    """
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
