"""What the gradient baselines read: facts with the text that should follow, and what is to be retained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import torch
from torch import Tensor

from zu_framework import DataError, LanguageModel, Request, RunContext
from zu_framework.models import Row, answer_row, beginnings, continuations
from zu_plugins.finetune import losses
from zu_plugins.finetune.options import TrainOptions

Loss = Callable[[list[int]], Tensor]


def answer_rows(lm: LanguageModel, requests: Sequence[Request], text: str | None = None) -> list[Row]:
    """Return each request's prompt, with what should follow it.

    Args:
        lm: Whose tokens are used.
        requests: n facts.
        text: What follows a prompt, unless the request brings a neutral text of its own; None for the answer.

    Returns:
        n rows, read at the prompt's last token.
    """
    return [answer_row(lm, r.prompt, r.answer if text is None else r.target or text) for r in requests]


def log_probabilities(lm: LanguageModel, rows: Sequence[Row], size: int) -> Tensor:
    """Return log pi (b,) of each row's continuation under the model as it is, `size` rows a forward pass."""
    with torch.no_grad():
        parts = [continuations(lm, rows[i : i + size]).log_probability for i in range(0, len(rows), size)]
    return torch.cat(parts)


def retain_loss(lm: LanguageModel, options: TrainOptions, context: RunContext) -> tuple[Loss | None, int]:
    """Return the loss over rows of text or facts to retain, and how many rows there are; None and 0 without one.

    `kl` holds the untouched model's distributions over the vocabulary for every token of the rows, on the CPU.
    """
    if options.retain == "none" or options.retain_weight == 0:
        return None, 0
    rows = retain_rows(lm, options, context)
    if options.retain == "nll":

        def nll(chosen: list[int]) -> Tensor:
            predicted = continuations(lm, [rows[i] for i in chosen])
            return losses.likelihood(predicted.log_probability, predicted.lengths)

        return nll, len(rows)
    # of each row (t, v), in the model's own precision: no second model is held
    with torch.no_grad():
        reference = [continuations(lm, [row]).logits.cpu() for row in rows]

    def kl(chosen: list[int]) -> Tensor:
        logits = continuations(lm, [rows[i] for i in chosen]).logits.float()
        untouched = torch.cat([reference[i] for i in chosen]).to(logits).log_softmax(1)
        return losses.divergence(logits, untouched)

    return kl, len(rows)


def retain_rows(lm: LanguageModel, options: TrainOptions, context: RunContext) -> list[Row]:
    """Return rows of what is to be retained: every token of a text but the first, or the answers of facts.

    Raises:
        DataError: There is no such text, or no such fact.
    """
    if options.retain_source == "facts":
        if not context.retain:
            raise DataError(
                "solver.retain_source=facts: the data set holds no facts to retain; use solver.retain_source=text"
            )
        return answer_rows(lm, context.retain[: options.retain_rows])
    if context.documents is None:
        raise DataError("solver.retain reads general text: give `background`, or solver.retain=none")
    rows = []
    texts = islice(context.documents(), options.retain_rows)
    for ids in beginnings(lm, texts, options.retain_tokens):
        if len(ids) > 1:
            rows.append(Row(ids[:1], 0, ids[1:]))
    if not rows:
        raise DataError("the background holds no text of two tokens or more")
    return rows
