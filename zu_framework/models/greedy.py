"""Continuations of many prompts at once, greedy or drawn, by the model's own cache where it keeps one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def greedy_tokens(lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
    """Return the likeliest next token, `limit` times at most, for each row; a row ends before its EOS.

    Args:
        lm: The model.
        rows: Token ids; the nearer in length, the fewer steps.
        limit: Tokens a row at most.

    Returns:
        Token ids, a list a row.
    """
    return _continued(lm, rows, limit, lambda logits: logits.argmax(-1))


def drawn_tokens(
    lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int, generator: torch.Generator
) -> list[list[int]]:
    """Return tokens drawn from what the model predicts, the whole vocabulary; a row ends before its EOS.

    Args:
        lm: The model.
        rows: Token ids.
        limit: Tokens a row at most.
        generator: Of the CPU; the same one draws the same tokens.

    Returns:
        Token ids, a list a row.
    """

    def draw(logits: Tensor) -> Tensor:
        chances = logits.float().cpu().softmax(-1)
        return torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)

    return _continued(lm, rows, limit, draw)


def drawn_copies(
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    limit: int,
    *,
    copies: int,
    temperature: float,
    generators: Sequence[torch.Generator],
) -> list[list[list[int]]]:
    """Return several continuations of each row, drawn from the whole vocabulary; what stands in a row is read once.

    Args:
        lm: The model.
        rows: Token ids.
        limit: Tokens a continuation at most.
        copies: Continuations of each row.
        temperature: The logits are divided by it.
        generators: Of the CPU, one a row: what is drawn for a row follows from its own.

    Returns:
        Row -> continuation -> token ids, without the EOS that ended it.
    """

    def draw(logits: Tensor) -> Tensor:
        chances = (logits.float().cpu() / temperature).softmax(-1)
        parts = zip(torch.split(chances, copies), generators, strict=True)
        drawn = [torch.multinomial(part, 1, generator=source)[:, 0] for part, source in parts]
        return torch.cat(drawn).to(logits.device)

    found = _continued(lm, rows, limit, draw, copies)
    return [found[at : at + copies] for at in range(0, len(found), copies)]


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
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    limit: int,
    pick: Callable[[Tensor], Tensor],
    copies: int = 1,
) -> list[list[int]]:
    """Continue rows, a token after the other.

    Rows of several lengths go together without padding, so that no architecture needs to be told where padding lies:
    all are read as far as the shortest goes, and a longer row is then given its own tokens, one a step, before any is
    chosen for it. Where the forward returns no `past_key_values`, it is run on the whole rows again for each token.

    Args:
        lm: The model.
        rows: Token ids.
        limit: Tokens a row at most.
        pick: Chooses tokens (b,) by their logits (b, v).
        copies: Continuations of each row, next to each other. Keys and values of what all rows have are computed once.

    Returns:
        Token ids of each continuation.
    """
    lengths = torch.tensor([len(row) for row in rows], device=lm.device)  # (b,)
    longest = int(lengths.max())
    padded = [[*row, *[0] * (longest - len(row))] for row in rows]
    given = torch.tensor(padded, device=lm.device)  # (b, longest)
    whole = given[:, : int(lengths.min())]
    given, lengths = given.repeat_interleave(copies, 0), lengths.repeat_interleave(copies)
    ends = torch.tensor(sorted(end_tokens(lm)), dtype=torch.long, device=lm.device)
    ended = torch.zeros(len(lengths), dtype=torch.bool, device=lm.device)
    parameters = inspect.signature(lm.model.forward).parameters
    options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
    step = whole
    while not bool((ended | (whole.shape[1] >= lengths + limit)).all()):
        if "position_ids" in parameters:  # some families (bamba) count from zero again where nobody says
            places = torch.arange(whole.shape[1] - step.shape[1], whole.shape[1], device=whole.device)
            options["position_ids"] = places.expand(len(whole), -1)
        output = lm.model(input_ids=step, attention_mask=torch.ones_like(whole), use_cache=True, **options)
        logits, cache = output.logits[:, -1], getattr(output, "past_key_values", None)
        if len(whole) < len(ended):  # the rows themselves have been read
            logits, whole = logits.repeat_interleave(copies, 0), whole.repeat_interleave(copies, 0)
            cache = _repeated(cache, copies)
        token, place = pick(logits).to(whole.device), whole.shape[1]  # (b,)
        ended |= torch.isin(token, ends) & (place >= lengths)
        if place < longest:
            token = torch.where(place < lengths, given[:, place], token)
        whole, step = torch.cat([whole, token[:, None]], 1), token[:, None]
        if cache is not None and "past_key_values" in parameters:
            options["past_key_values"] = cache
        else:
            step = whole
    stops = set(ends.tolist())
    return [
        before_end(row[length : length + limit], stops)
        for row, length in zip(whole.tolist(), lengths.tolist(), strict=True)
    ]


def _repeated(cache: Any, copies: int) -> Any:
    """A cache with each row `copies` times; None where it cannot do that."""
    layers = getattr(cache, "layers", ())
    if not layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return None  # a layer that holds a state besides
    cache.batch_repeat_interleave(copies)
    return cache
