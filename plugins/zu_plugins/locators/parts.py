"""What is restored: the hidden state after a layer, its MLP's output, its attention's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import LanguageModel
from zu_framework.models import attention_projections

HIDDEN, MLP, ATTENTION = "hidden", "mlp", "attention"
ROME_WINDOW, ROME_LAYERS = 10, 48  # arXiv 2202.05262: 10 of GPT-2 XL's 48 layers


@dataclass(frozen=True)
class Parts:
    """Modules by kind and layer.

    MLPs are there where a layer offers a site (none of routed experts).
    """

    by_kind: Mapping[str, Mapping[int, str]]
    layers: int

    @property
    def modules(self) -> list[str]:
        """All of them."""
        return [module for by_layer in self.by_kind.values() for module in by_layer.values()]

    def places(self) -> Iterator[tuple[str, int]]:
        """Each kind at each layer that has it, shallow layers first: what one batch restores is then close together."""
        for layer in range(self.layers):
            for kind, by_layer in self.by_kind.items():
                if layer in by_layer:
                    yield kind, layer

    def empty(self, tokens: int) -> Tensor:
        """(layers, tokens) of NaN, float64."""
        return torch.full((self.layers, tokens), float("nan"), dtype=torch.float64)


def parts_of(lm: LanguageModel) -> Parts:
    """Find the parts of a model by structure.

    Raises:
        ModelError: No layer offers a site.
    """
    projections = lm.architecture.projections
    if not projections:
        lm.site(0)  # says why
    blocks = {layer: f"{lm.architecture.layers}.{layer}" for layer in range(lm.num_layers)}
    return Parts({HIDDEN: blocks, MLP: projections, ATTENTION: attention_projections(lm)}, lm.num_layers)


def window_of(layers: int, asked: int) -> int:
    """Layers restored together: those asked for, or (0) the share of the model's that ROME restored of GPT-2 XL's."""
    return asked or max(1, round(layers * ROME_WINDOW / ROME_LAYERS))


def layers_around(parts: Parts, kind: str, layer: int, window: int) -> list[int]:
    """The layers restored with this one: a hidden state alone; outputs in ROME's window, l - w/2 to l + w/2 - 1."""
    if kind == HIDDEN:
        return [layer]
    around = range(layer - window // 2, layer + (window + 1) // 2)
    return [other for other in around if other in parts.by_kind[kind]]


def restored_together(parts: Parts, kind: str, layer: int, window: int) -> tuple[str, ...]:
    """Their modules."""
    return tuple(parts.by_kind[kind][other] for other in layers_around(parts, kind, layer, window))
