"""What a model says at chosen places of a batch: logits there alone, where the model's forward allows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.models.tokens import Row, batch

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def logits_at(lm: LanguageModel, ids: Tensor, mask: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Logits (p, vocabulary) at places (row, column) of a batch (b, t); gradients flow where they are enabled.

    The head runs on the needed columns alone where the model's forward takes `logits_to_keep`.
    """
    options: dict[str, Any] = {"attention_mask": mask, "use_cache": False}
    if "logits_to_keep" in inspect.signature(lm.model.forward).parameters:
        options["logits_to_keep"], column = torch.unique(column, return_inverse=True)
    logits: Tensor = lm.model(ids, **options).logits
    return logits[row.to(logits.device), column.to(logits.device)]


@dataclass(frozen=True)
class Said:
    """What a model says of the continuations of b rows, m tokens in all, in order.

    logits (m, v) that predict them; tokens (m,): what they are; row (m,): whose they are.
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
        said = self.token_log_probability
        return torch.zeros(self.rows, dtype=said.dtype, device=said.device).index_add(0, self.row, said)

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row's continuation (b,)."""
        return torch.bincount(self.row, minlength=self.rows)


def continuations(lm: LanguageModel, rows: Sequence[Row]) -> Said:
    """Teacher-force the rows' continuations in one batch."""
    made = batch(rows, lm.device)
    row, column = (made.targets >= 0).nonzero(as_tuple=True)  # (m,), (m,)
    logits = logits_at(lm, made.input_ids, made.attention_mask, row, column)
    at = row.to(logits.device)
    return Said(logits, made.targets[row, column].to(logits.device), at, len(rows))
