"""Where a model is edited: its structure, and one weight of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Architecture:
    """Where a decoder keeps its parts, as module names relative to the model.

    layers: the ModuleList of decoder layers. projections: layer index -> name of its MLP output projection.
    final_norm, head: "" when there is none. scaled_branch: layer index -> True when a norm or a factor stands
    between the projection and the residual stream (gemma2, olmo2 ...): there a residual of the stream cannot be added
    to V.
    refused: layer index -> why the layer offers no site (routed experts).
    """

    layers: str
    projections: Mapping[int, str]
    final_norm: str
    head: str
    scaled_branch: Mapping[int, bool] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """One weight that is edited. module: its name in the model; layer: its decoder layer; block: that layer's name.

    residual_stream: the projection's output is added to the residual stream as it is. parameter: which of the module's
    parameters; a locator's sites are weights of linear maps, a model solver may change any (layer -1, block "").
    """

    module: str
    layer: int
    block: str
    residual_stream: bool = True
    parameter: str = "weight"

    @property
    def name(self) -> str:
        """The module, or module and parameter where that is not the weight: one name for each parameter."""
        return self.module if self.parameter == "weight" else f"{self.module}.{self.parameter}"

    def __str__(self) -> str:
        return self.name


def as_matrix(stored: Tensor, *, transposed: bool) -> Tensor:
    """See a parameter as W.

    Args:
        stored: The parameter as the model stores it.
        transposed: Whether it is stored as (i, o).

    Returns:
        A view (o, i); a vector is a column, more axes are rows (..., i).
    """
    if transposed:
        return stored.T
    return stored[:, None] if stored.ndim == 1 else stored if stored.ndim == 2 else stored.flatten(0, -2)


def as_stored(matrix: Tensor, shape: tuple[int, ...], *, transposed: bool) -> Tensor:
    """See W as the parameter that it is: `as_matrix` undone.

    Args:
        matrix: W (o, i).
        shape: Of the parameter.
        transposed: Whether it is stored as (i, o).

    Returns:
        The parameter, in row order.
    """
    return (matrix.T if transposed else matrix).reshape(shape).contiguous()
