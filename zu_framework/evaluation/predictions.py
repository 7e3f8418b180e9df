"""What a model predicts at chosen tokens of texts, kept to be compared with what it predicts after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

NUMBERS_KEPT = 2**26  # a quarter of a gigabyte in float32, whatever the vocabulary: 1365 tokens of 49152


@dataclass
class Predictions:
    """Log-probabilities of the whole vocabulary at some tokens of a list of rows, in float32 on the CPU.

    Nothing is cut off, so a divergence computed from them is exact; the number of tokens is what bounds the memory.

    Args:
        places: For each row, which of its predicted tokens are kept, from 0; empty for most rows of a long list.
        kept: Row -> log-probabilities (k, v) of its places.
    """

    places: Sequence[Sequence[int]]
    kept: dict[int, Tensor] = field(default_factory=dict)

    def keep(self, row: int, logits: Tensor) -> None:
        """Keep a row's predictions.

        Args:
            row: Its number.
            logits: Of all its predicted tokens (t, v).
        """
        if self.places[row]:
            self.kept[row] = _log_probabilities(logits[self.places[row]]).cpu()

    def divergence(self, row: int, logits: Tensor) -> list[float]:
        """Compare what is kept of a row with what another model says.

        Args:
            row: Its number.
            logits: What that model says of all the row's predicted tokens (t, v).

        Returns:
            KL(kept || now) in nats at each of the row's places.
        """
        if not self.places[row]:
            return []
        before = self.kept[row].to(logits.device)
        after = _log_probabilities(logits[self.places[row]])
        share = before.exp()
        # where the first model allows nothing, nothing is lost
        apart = torch.where(share > 0, share * (before - after), 0).sum(1, dtype=torch.float64)
        return [float(value) for value in apart.clamp_min(0)]  # rounding may leave -1e-9


def spread_places(lengths: Sequence[int], vocabulary: int, numbers: int = NUMBERS_KEPT) -> list[list[int]]:
    """Choose which predicted tokens of rows to keep: all, or as many as memory holds, evenly spaced.

    Args:
        lengths: Predicted tokens of each row.
        vocabulary: Numbers that one token takes.
        numbers: How many may be kept.

    Returns:
        For each row, places from 0.
    """
    total = sum(lengths)
    most = max(1, numbers // vocabulary)
    step = max(1.0, total / most)
    places: list[list[int]] = []
    before, index = 0, 0
    for length in lengths:
        here = []
        while (at := int(index * step)) < before + length:
            here.append(at - before)
            index += 1
        places.append(here)
        before += length
    return places


def _log_probabilities(logits: Tensor) -> Tensor:
    """(k, v) in float32 or better."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
