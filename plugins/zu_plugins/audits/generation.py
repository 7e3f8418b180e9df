"""What a model writes after a prompt, drawn at a temperature."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zu_framework import LanguageModel
from zu_framework.models import drawn_copies, encode_prompt


def draws(
    lm: LanguageModel,
    prompts: Sequence[str],
    *,
    count: int,
    tokens: int,
    temperature: float,
    seed: int,
    batch_size: int,
) -> list[list[str]]:
    """Return `count` completions of each prompt, drawn from the whole vocabulary at a temperature.

    What the checkpoint asks of generation (penalties, cut-offs ...) plays no part, and the global random state is left
    as it was. Each prompt has its own seed; its tokens are read once, whatever `count` is, and prompts of one length
    are drawn side by side.
    """
    ids = [encode_prompt(lm, prompt).ids for prompt in prompts]
    sources = [torch.Generator().manual_seed(seed * 100_003 + number) for number in range(len(prompts))]
    found: list[list[str]] = [[] for _ in prompts]
    for together in _of_one_length(ids, max(1, batch_size // count)):
        while len(found[together[0]]) < count:
            copies = min(batch_size, count - len(found[together[0]]))
            drawn = drawn_copies(
                lm,
                [ids[at] for at in together],
                tokens,
                copies=copies,
                temperature=temperature,
                generators=[sources[at] for at in together],
            )
            for at, rows in zip(together, drawn, strict=True):
                found[at] += [lm.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    return found


def _of_one_length(rows: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Places of rows that have one length, at most so many together."""
    lengths: dict[int, list[int]] = {}
    for at, row in enumerate(rows):
        lengths.setdefault(len(row), []).append(at)
    return [same[start : start + most] for same in lengths.values() for start in range(0, len(same), most)]
