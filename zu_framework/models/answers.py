"""Logits at chosen places of a batch, and there alone where the model's forward allows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.models.tokens import Row, batch, needed_mask

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def logits_at(lm: LanguageModel, ids: Tensor, mask: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Compute logits at p places of a batch; gradients flow where they are enabled.

    The head runs on the needed columns alone where the model's forward takes `logits_to_keep`.

    Args:
        lm: The model.
        ids: Token ids (b, t), padded on the right.
        mask: (b, t): 1 for a token, 0 for padding.
        row: (p,): of each place.
        column: (p,): of each place.

    Returns:
        (p, v), in the model's dtype.
    """
    options: dict[str, Any] = {"attention_mask": needed_mask(mask), "use_cache": False}
    if "logits_to_keep" in inspect.signature(lm.model.forward).parameters:
        options["logits_to_keep"], column = torch.unique(column, return_inverse=True)
    logits: Tensor = lm.model(ids, **options).logits
    return logits[row.to(logits.device), column.to(logits.device)]


@dataclass(frozen=True)
class Continuations:
    """What a model predicts where b rows have their continuations, m tokens in all, in order.

    Args:
        logits: (m, v): they predict the tokens.
        tokens: (m,): what the tokens are.
        row: (m,): whose they are.
        rows: b.
    """

    logits: Tensor
    tokens: Tensor
    row: Tensor
    rows: int

    @property
    def token_log_probability(self) -> Tensor:
        """log pi of each token (m,), in float32 or better."""
        logits = self.logits.to(torch.promote_types(self.logits.dtype, torch.float32))
        return logits.log_softmax(1).gather(1, self.tokens[:, None])[:, 0]

    @property
    def log_probability(self) -> Tensor:
        """log pi of each row's continuation (b,), summed over its tokens."""
        each = self.token_log_probability
        return torch.zeros(self.rows, dtype=each.dtype, device=each.device).index_add(0, self.row, each)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row's continuation (b,)."""
        return torch.bincount(self.row, minlength=self.rows)


def continuations(lm: LanguageModel, rows: Sequence[Row]) -> Continuations:
    """Teacher-force the rows' continuations in one batch.

    Args:
        lm: The model; gradients flow where they are enabled.
        rows: b rows with a continuation each.

    Returns:
        The logits that predict the continuations' tokens.
    """
    made = batch(rows, lm.device)
    row, column = (made.targets >= 0).nonzero(as_tuple=True)  # (m,), (m,)
    logits = logits_at(lm, made.input_ids, made.attention_mask, row, column)
    at = row.to(logits.device)
    return Continuations(logits, made.targets[row, column].to(logits.device), at, len(rows))
