"""The logit lens: what the model would say if it stopped after a layer (final norm and head on each layer's output)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zu_framework.models import LanguageModel, Row, answer_row, batch, encode_answer, logits_at, run_until
from zu_framework.problem import Request

LOGITS_AT_ONCE = 2**25  # numbers: 128 MB in float32, whatever the vocabulary
AGREEMENT = 0.02  # of probabilities: above what half precision does to them


@dataclass(frozen=True)
class Lens:
    """probability (m, layers) of the first token of each true answer, read at the prompt's last token.

    agrees: whether the last layer's reading is the model's own answer; where it is not, the model does more between its
    last layer and its logits than norm and head.
    """

    probability: Tensor
    agrees: bool


@torch.no_grad()
def answer_lens(lm: LanguageModel, requests: Sequence[Request], batch_size: int) -> Lens | None:
    """The lens of the requests' true answers; None without requests.

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020).
    """
    if not requests:
        return None
    rows = [_row(lm, request) for request in requests]
    read = [_read(lm, rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    probability = torch.cat(read)  # (m, layers)
    own = _own(lm, rows[:batch_size])
    apart = float((probability[: len(own), -1] - own).abs().max())
    return Lens(probability, apart <= AGREEMENT)


def _row(lm: LanguageModel, request: Request) -> Row:
    return answer_row(lm, request.prompt, encode_answer(lm, request.answer, request.prompt)[:1])


def _read(lm: LanguageModel, rows: Sequence[Row]) -> Tensor:
    """Probabilities (b, layers) of the rows' continuations, one token each."""
    made = batch([Row(row.ids, row.position) for row in rows], lm.device)
    at = torch.arange(len(rows), device=lm.device), made.positions
    wanted = torch.tensor([row.continuation[0] for row in rows])
    blocks = [f"{lm.architecture.layers}.{layer}" for layer in range(lm.num_layers)]
    states: dict[str, Tensor] = {}

    def keep(name: str, entered: Tensor, left: Tensor) -> None:
        states[name] = left[tuple(place.to(left.device) for place in at)]  # (b, d)

    run_until(lm, blocks, made.input_ids, made.attention_mask, keep)
    return torch.stack([_said(lm, states[block], wanted) for block in blocks], 1)


def _said(lm: LanguageModel, states: Tensor, wanted: Tensor) -> Tensor:
    """Probabilities (b,) of `wanted` (b,) that norm and head read in states (b, d)."""
    head: Any = lm.model.get_output_embeddings()
    norm: Any = lm.model.get_submodule(lm.architecture.final_norm) if lm.architecture.final_norm else None
    together = max(1, LOGITS_AT_ONCE // head.weight.shape[0])
    said = []
    for start in range(0, len(states), together):
        rows = states[start : start + together]
        if norm is not None:
            rows = norm(rows.to(next(norm.parameters(), rows).device))
        logits = head(rows.to(head.weight)).float().cpu()  # (b, v)
        found = logits.gather(1, wanted[start : start + together, None])[:, 0] - logits.logsumexp(1)
        said.append(found.exp())
    return torch.cat(said)


def _own(lm: LanguageModel, rows: Sequence[Row]) -> Tensor:
    """Probabilities (b,) that the model itself gives the rows' continuations."""
    made = batch([Row(row.ids, row.position) for row in rows], lm.device)
    logits = logits_at(
        lm, made.input_ids, made.attention_mask, torch.arange(len(rows), device=lm.device), made.positions
    ).float()
    wanted = torch.tensor([row.continuation[0] for row in rows], device=logits.device)
    return (logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)).exp().cpu()
