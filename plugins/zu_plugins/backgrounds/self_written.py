"""General text that the model writes itself: for want of any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch

from zu_framework import LanguageModel
from zu_framework.models import drawn_tokens, encode
from zu_plugins.backgrounds.options import SelfOptions

ROWS = 32  # a batch


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
    texts: dict[int, str] = {}
    order = sorted(range(len(rows)), key=lambda number: (len(rows[number]), number))
    for _, alike in groupby(order, key=lambda number: len(rows[number])):
        numbers = list(alike)
        for first in range(0, len(numbers), ROWS):
            some = numbers[first : first + ROWS]
            written = _written(lm, [rows[number] for number in some], options.length, generator)
            texts |= {number: starts[number] + text for number, text in zip(some, written, strict=True)}
    yield from (texts[number] for number in range(len(rows)))


def _written(
    lm: LanguageModel, rows: Sequence[list[int]], length: int, generator: torch.Generator
) -> list[str]:
    """What follows rows of one length: decoded with them, so that no white space is lost between."""
    found = []
    for row, tokens in zip(rows, drawn_tokens(lm, rows, length, generator), strict=True):
        whole = str(lm.tokenizer.decode([*row, *tokens], skip_special_tokens=True))
        found.append(whole[len(str(lm.tokenizer.decode(row, skip_special_tokens=True))) :])
    return found
