"""Continuations drawn at random, by the model's own `generate` and its cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig

from zu_framework.errors import ModelError
from zu_framework.models.greedy import before_end, end_tokens

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


@torch.no_grad()
def sampled_tokens(
    lm: LanguageModel, rows: Sequence[Sequence[int]], limit: int, *, seed: int, top_k: int
) -> list[list[int]]:
    """Draw a continuation of each row among the likeliest next tokens; a row ends before its EOS.

    Args:
        lm: The model. What its checkpoint asks of generation (temperature, penalties ...) plays no part.
        rows: Token ids; rows of one length are continued together, so that nothing is padded.
        limit: Tokens that are drawn for a row at most.
        seed: Draws follow from it and the rows alone; the global random state is left as it was.
        top_k: Tokens that are drawn among, each as likely as the model says.

    Returns:
        The drawn tokens of each row.

    Raises:
        ModelError: The model has no `generate`.
    """
    if not hasattr(lm.model, "generate"):
        raise ModelError(
            f"model type {lm.model_type!r} has no `generate`, and no context can be sampled: use given or no contexts"
        )
    ends = end_tokens(lm)
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        top_k=top_k,
        max_new_tokens=limit,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),
        use_cache=True,
    )
    lengths: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        lengths.setdefault(len(row), []).append(index)
    found: dict[int, list[int]] = {}
    with _seeded(seed), _generation_config(lm, settings):
        for length, indices in sorted(lengths.items()):
            ids = torch.tensor([list(rows[i]) for i in indices], device=lm.device)  # (b, t)
            mask = torch.ones_like(ids)
            whole = lm.model.generate(ids, attention_mask=mask, generation_config=settings)  # (b, t + drawn)
            found |= {
                i: before_end(row, ends) for i, row in zip(indices, whole[:, length:].tolist(), strict=True)
            }
    return [found[i] for i in range(len(rows))]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws follow from the seed meanwhile; afterwards the global generators are where they were."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _generation_config(lm: LanguageModel, settings: GenerationConfig) -> Iterator[None]:
    """Put settings in place of the checkpoint's own, from which transformers fills in what they leave open."""
    own = lm.model.generation_config
    lm.model.generation_config = settings
    try:
        yield
    finally:
        lm.model.generation_config = own
