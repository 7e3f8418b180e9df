"""Texts to tokens, and which token is read: positions come from the tokenizer's offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import ModelError

TOKENS_A_PASS = 8192  # padding included
MASK_AT_MOST = 2**27  # entries of a mask (b, t, t): half a gigabyte in float32


@dataclass(frozen=True)
class Encoding:
    """The tokens of a text.

    Args:
        ids: Token ids.
        offsets: The character span of each in the text; empty for special tokens.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Args:
        ids: Of the prompt.
        position: Index of the token that is read.
        continuation: Answer tokens that follow the prompt.
    """

    ids: list[int]
    position: int
    continuation: Sequence[int] = ()


@dataclass(frozen=True)
class Batch:
    """b rows, padded on the right.

    Args:
        input_ids: (b, t).
        attention_mask: (b, t): 1 for a token, 0 for padding.
        positions: (b,), of the tokens that are read.
        targets: (b, t): the token that each position should predict, or -100.
    """

    input_ids: Tensor
    attention_mask: Tensor
    positions: Tensor
    targets: Tensor


def encode(tokenizer: Any, text: str) -> Encoding:
    """Return the tokens of a whole text, the tokenizer's BOS (if it has one) included once.

    Args:
        tokenizer: Fast.
        text: Not empty.

    Returns:
        The tokens with their spans.

    Raises:
        ModelError: The text has no token.
    """
    return encode_all(tokenizer, [text])[0]


def encode_all(tokenizer: Any, texts: Sequence[str]) -> list[Encoding]:
    """`encode` many texts in one call, which a fast tokenizer spreads over its threads.

    Args:
        tokenizer: Fast.
        texts: Not empty each.

    Returns:
        The tokens of each text.

    Raises:
        ModelError: A text has no token.
    """
    encoded = tokenizer(list(texts), return_offsets_mapping=True, add_special_tokens=True)
    return [
        _plain(tokenizer, text, list(ids), [(int(a), int(b)) for a, b in offsets])
        for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def beginning_of(tokenizer: Any, text: str, tokens: int) -> str:
    """Return the part of a text that its first tokens are made of, so that the rest is never tokenized.

    Args:
        tokenizer: Its longest token bounds how many characters those can be.
        text: Of any length.
        tokens: How many of its tokens are read.

    Returns:
        The text, cut off where the tokens surely end.
    """
    if len(text) <= tokens:
        return text
    return text[: (tokens + 1) * _longest_token(tokenizer)]


@lru_cache(maxsize=8)
def _longest_token(tokenizer: Any) -> int:
    """Characters of the longest token."""
    return max(map(len, tokenizer.get_vocab()))


def _plain(tokenizer: Any, text: str, ids: list[int], offsets: list[tuple[int, int]]) -> Encoding:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    while (
        bos is not None
        and len(ids) > 1
        and ids[0] == bos
        and ids[1] == bos
        and offsets[1][0] == offsets[1][1]
    ):
        ids, offsets = ids[1:], offsets[1:]
    # a text that goes on has no end yet
    while len(ids) > 1 and ids[-1] == eos and offsets[-1][0] == offsets[-1][1]:
        ids, offsets = ids[:-1], offsets[:-1]
    if not ids:
        raise ModelError(f"text {text!r} has no token")
    return Encoding(ids, offsets)


def token_at(encoding: Encoding, text: str, read_end: int) -> int:
    """Find the token that holds the last character before `read_end`.

    A character outside the byte-level range may be spread over several tokens: the last of them has read it whole.

    Args:
        encoding: Of the text.
        text: For the message.
        read_end: One past the character's index.

    Returns:
        The token's index.

    Raises:
        ModelError: No token holds it.
    """
    wanted = read_end - 1
    for index in range(len(encoding.ids) - 1, -1, -1):
        start, end = encoding.offsets[index]
        if start <= wanted < end:
            return index
    raise ModelError(f"no token of {text!r} holds character {wanted} ({text[wanted : wanted + 1]!r})")


def answer_ids(tokenizer: Any, text: str, *, space: bool = True) -> list[int]:
    """Return the tokens of an answer that follows a prompt.

    Args:
        tokenizer: Fast.
        text: A special token, which stands as it is, or any other text, its own leading spaces left out.
        space: Whether exactly one space comes before it.

    Returns:
        At least one token id.

    Raises:
        ModelError: The text has no token.
    """
    special = tokenizer.get_added_vocab()
    if text in special and text in tokenizer.all_special_tokens:
        return [int(special[text])]
    word = text.lstrip(" ")
    ids = _ids(tokenizer, word)
    # sentencepiece adds a prefix space of its own: then the bare word is the spaced one already
    first = tokenizer.convert_ids_to_tokens(ids[:1])
    is_spaced = bool(first) and first[0].startswith(("\u2581", "\u0120"))
    if space and not is_spaced:
        ids = _ids(tokenizer, " " + word)
    elif is_spaced and not space:
        ids = _behind(tokenizer, word) or ids
    if not ids:
        raise ModelError(f"answer {text!r} has no token")
    return ids


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _behind(tokenizer: Any, word: str) -> list[int]:
    """Tokens of a word that stands directly behind something that it does not merge with."""
    for anchor in ("\n", "(", "1"):
        before, whole = _ids(tokenizer, anchor), _ids(tokenizer, anchor + word)
        if before and whole[: len(before)] == before:
            return whole[len(before) :]
    return []


def batch(rows: Sequence[Row], device: torch.device | str = "cpu") -> Batch:
    """Pad rows on the right: causal attention never looks there, whatever the tokenizer's own side or pad token.

    Args:
        rows: b rows, at least one.
        device: Of what is returned.

    Returns:
        Tensors as wide as the longest row with its continuation.
    """
    width = max(len(row.ids) + len(row.continuation) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), width), -100, dtype=torch.long)
    for number, row in enumerate(rows):
        whole = [*row.ids, *row.continuation]
        ids[number, : len(whole)] = torch.tensor(whole)
        mask[number, : len(whole)] = 1
        if row.continuation:
            start = len(row.ids) - 1
            targets[number, start : start + len(row.continuation)] = torch.tensor(list(row.continuation))
    positions = torch.tensor([row.position for row in rows])
    return Batch(ids.to(device), mask.to(device), positions.to(device), targets.to(device))


def needed_mask(attention_mask: Tensor) -> Tensor | None:
    """Return a mask (b, t) of rows padded on the right, or None where attention would make too much of it.

    Causal attention never looks at what stands on the right, so that no position that is read depends on the mask;
    but transformers makes (b, t, t) of it.

    Args:
        attention_mask: 1 for a token, 0 for padding on the right.
    """
    rows, width = attention_mask.shape
    return None if rows * width * width > MASK_AT_MOST else attention_mask


def batches_of(
    rows: Sequence[Row], most: int, tokens: int = TOKENS_A_PASS, *, by_length: bool = True
) -> Iterator[list[int]]:
    """Divide rows into batches.

    Args:
        rows: In any order.
        most: Rows that a batch may hold.
        tokens: Tokens that it may hold, padding included; a longer row is a batch of its own.
        by_length: Whether rows of like length come together, the shortest first; else they stay in order.

    Yields:
        Indices of the rows of one batch.
    """
    lengths = [len(row.ids) + len(row.continuation) for row in rows]
    order: Sequence[int] = range(len(rows))
    if by_length:
        order = sorted(order, key=lambda index: (lengths[index], len(rows[index].ids)))
    together: list[int] = []
    width = 0
    for index in order:
        width = max(width, lengths[index])
        if together and (len(together) == most or (len(together) + 1) * width > tokens):
            yield together
            together, width = [], lengths[index]
        together.append(index)
    if together:
        yield together
