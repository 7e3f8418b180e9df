"""Digests of what a computation with a model depends on: its state, a part of it, its tokenizer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import xxhash

from zu_framework.models.fingerprint import OF_LOADING, hash_tensors, identity

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def state_digest(lm: LanguageModel, *, up_to: int | None = None) -> str:
    """Return xxh3-128 of a model's config, parameters and buffers.

    Args:
        lm: The model.
        up_to: The last layer that counts; what comes behind it is left out. None: all.
    """
    entries = identity(lm.model.config.to_dict(), but=OF_LOADING)
    digest = xxhash.xxh3_128(json.dumps(entries, sort_keys=True, default=str).encode())
    tensors = lm.model.state_dict()
    if up_to is not None:
        parts = lm.architecture
        above = tuple(f"{parts.layers}.{layer}." for layer in range(up_to + 1, lm.num_layers))
        later = (*above, f"{parts.final_norm}.", f"{parts.head}.")
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(later)}
    hash_tensors(digest, tensors)
    found: str = digest.hexdigest()
    return found


def tokenizer_digest(tokenizer: Any) -> str:
    """Return xxh3-128 of all that decides a text's tokens.

    Args:
        tokenizer: Fast. Padding and truncation are but state of its last call, and left out.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    entries = {name: value for name, value in state.items() if name not in ("padding", "truncation")}
    return xxhash.xxh3_128_hexdigest(json.dumps(entries, sort_keys=True).encode())
