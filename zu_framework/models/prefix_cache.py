"""Keys and values of the positions before a replay's windows, as an attention layer asks a cache for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache


class PrefixCache(DynamicCache):
    """Keys and values of the positions before each row's window, aligned at its end; constant.

    While it records, it copies them from the passing tensors (b, h, t, e); afterwards it puts them before the window's
    own, which it does not keep.
    """

    def __init__(self, width: int, take: Tensor, from_layer: int) -> None:
        super().__init__()
        self.width, self.from_layer = width, from_layer
        self.take = take  # (b, width): which position of a row lies in each column
        self.recording = True
        self.held: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """What a layer's attention reads: keys and values of all positions."""
        if self.recording:
            if layer_idx >= self.from_layer:
                self.held[layer_idx] = self._aligned(key_states), self._aligned(value_states)
            return key_states, value_states
        keys, values = self.held[layer_idx]
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)

    def _aligned(self, states: Tensor) -> Tensor:
        index = self.take.to(states.device)[:, None, :, None]
        return states.gather(2, index.expand(-1, states.shape[1], -1, states.shape[3]))

    def of(self, rows: Tensor, width: int) -> PrefixCache:
        """The cache of some of the rows, its last `width` columns."""
        part = PrefixCache(width, self.take[rows], self.from_layer)
        part.recording = False
        part.held = {
            layer: tuple(t[rows.to(t.device), :, t.shape[2] - width :] for t in pair)  # type: ignore[misc]
            for layer, pair in self.held.items()
        }
        return part

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before those that the model is called with."""
        return 0 if self.recording else self.width

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """The same, by the name that masks ask it by."""
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Columns that attention reads, and the first of them."""
        return self.get_seq_length() + query_length, 0

    @property
    def is_sliding(self) -> list[bool]:
        """No layer drops positions: masks care for windows."""
        return [False]
