"""Continuations of many prompts at once, greedy or drawn, by the model's own cache where it keeps one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def greedy_tokens(lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
    """Return the likeliest next token, `limit` times at most, for each row; a row ends before its EOS.

    Args:
        lm: The model.
        rows: Token ids, all of one length.
        limit: Tokens a row at most.

    Returns:
        Token ids, a list a row.
    """
    return _continued(lm, rows, limit, lambda logits: logits.argmax(-1))


def drawn_tokens(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    limit: int,
    generator: torch.Generator,
    top_k: int | None = None,
) -> list[list[int]]:
    """Return tokens drawn from what the model predicts; a row ends before its EOS.

    What the checkpoint asks of generation (temperature, penalties ...) plays no part.

    Args:
        lm: The model.
        rows: Token ids, all of one length.
        limit: Tokens a row at most.
        generator: Of the CPU; the same one draws the same tokens.
        top_k: Tokens that are drawn among, each as likely as the model says; None for the whole vocabulary.

    Returns:
        Token ids, a list a row.
    """

    def draw(logits: Tensor) -> Tensor:
        scores = logits.float().cpu()
        if top_k is not None:
            least = scores.topk(min(top_k, scores.shape[-1])).values[:, -1:]
            scores = scores.masked_fill(scores < least, -math.inf)
        return torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0].to(logits.device)

    return _continued(lm, rows, limit, draw)


def sampled_tokens(
    lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int, *, seed: int, top_k: int
) -> list[list[int]]:
    """Draw a continuation of each row among the likeliest next tokens; a row ends before its EOS.

    Args:
        lm: The model.
        rows: Token ids; rows of one length are continued together, so that nothing is padded.
        limit: Tokens that are drawn for a row at most.
        seed: Draws follow from it and the rows alone; the global random state is left as it was.
        top_k: Tokens that are drawn among.

    Returns:
        The drawn tokens of each row.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        lengths.setdefault(len(row), []).append(index)
    found: dict[int, list[int]] = {}
    for _, indices in sorted(lengths.items()):
        drawn = drawn_tokens(lm, [rows[index] for index in indices], limit, generator, top_k)
        found |= dict(zip(indices, drawn, strict=True))
    return [found[index] for index in range(len(rows))]


def end_tokens(lm: LanguageModel) -> set[int]:
    """Return the tokens that end a text: the tokenizer's EOS, and those of the model's generation config."""
    configured = getattr(getattr(lm.model, "generation_config", None), "eos_token_id", None)
    listed = configured if isinstance(configured, list | tuple) else [configured]
    return {int(token) for token in (*listed, lm.tokenizer.eos_token_id) if token is not None}


def before_end(tokens: list[int], stops: set[int]) -> list[int]:
    """Return the tokens before the first of `stops`."""
    for index, token in enumerate(tokens):
        if token in stops:
            return tokens[:index]
    return tokens


@torch.no_grad()
def _continued(
    lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int, pick: Callable[[Tensor], Tensor]
) -> list[list[int]]:
    """Continue rows, a token after the other.

    Where the forward returns no `past_key_values`, it is run on the whole rows again for each token.

    Args:
        lm: The model.
        rows: Token ids, all of one length: then nothing is padded, and no architecture needs to be told where padding
            lies.
        limit: Tokens a row at most.
        pick: Chooses tokens (b,) by their logits (b, v).

    Returns:
        Token ids of each row's continuation.

    Raises:
        ValueError: The rows differ in length.
    """
    if len({len(row) for row in rows}) > 1:
        raise ValueError("rows must be of one length")
    whole = torch.tensor([list(row) for row in rows], device=lm.device)  # (b, t)
    ends = torch.tensor(sorted(end_tokens(lm)), dtype=torch.long, device=lm.device)
    ended = torch.zeros(len(rows), dtype=torch.bool, device=lm.device)
    parameters = inspect.signature(lm.model.forward).parameters
    options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
    start, step = whole.shape[1], whole
    for _ in range(limit):
        if "position_ids" in parameters:  # some families (bamba) count from zero again where nobody says
            places = torch.arange(whole.shape[1] - step.shape[1], whole.shape[1], device=whole.device)
            options["position_ids"] = places.expand(len(rows), -1)
        output = lm.model(input_ids=step, attention_mask=torch.ones_like(whole), use_cache=True, **options)
        token = pick(output.logits[:, -1]).to(whole.device)  # (b,)
        ended |= torch.isin(token, ends)
        whole = torch.cat([whole, token[:, None]], 1)
        if bool(ended.all()):
            break
        cache = getattr(output, "past_key_values", None)
        step = whole
        if cache is not None and "past_key_values" in parameters:
            options["past_key_values"], step = cache, token[:, None]
    stops = set(ends.tolist())
    return [before_end(row, stops) for row in whole[:, start:].tolist()]
