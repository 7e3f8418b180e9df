"""General text that the model writes itself: for want of any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import torch

from zu_framework import LanguageModel
from zu_framework.models import drawn_tokens, encode
from zu_plugins.backgrounds.options import SelfOptions

ROWS = 48  # of a batch at most


def documents(options: SelfOptions, lm: LanguageModel) -> Iterator[str]:
    """Write text, drawn token by token from the whole vocabulary, outside any chat template.

    Args:
        options: How much, and how the pieces begin.
        lm: The untouched model.

    Yields:
        The pieces, their beginnings among them, in a fixed order.
    """
    starts = [options.starts[number % len(options.starts)] for number in range(options.documents)]
    rows = [encode(lm.tokenizer, start).ids for start in starts]
    generator = torch.Generator().manual_seed(options.seed)
    batches = ceil(len(rows) / ROWS)
    for batch in range(batches):  # of about one size
        numbers = range(batch, len(rows), batches)
        written = _written(lm, [rows[number] for number in numbers], options.length, generator)
        yield from (starts[number] + text for number, text in zip(numbers, written, strict=True))


def _written(
    lm: LanguageModel, rows: Sequence[list[int]], length: int, generator: torch.Generator
) -> list[str]:
    """What follows rows: decoded with them, so that no white space is lost between."""
    found = []
    for row, tokens in zip(rows, drawn_tokens(lm, rows, length, generator), strict=True):
        whole = str(lm.tokenizer.decode([*row, *tokens], skip_special_tokens=True))
        found.append(whole[len(str(lm.tokenizer.decode(row, skip_special_tokens=True))) :])
    return found
