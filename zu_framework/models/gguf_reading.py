"""Reads a GGUF file's header once, however often transformers asks for it while it loads, and draws no bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def read_once(wanted: bool) -> Iterator[None]:
    """Let readers of one GGUF file, and tables of tensor names, be made once in this block.

    transformers parses the whole header, the vocabulary with it, for the config, the tokenizer and the weights anew,
    makes gguf's table of names for every submodule (together more than half the seconds that a small model takes to
    load), and draws a bar that nothing turns off once it is imported.

    Args:
        wanted: Whether a GGUF file is read at all; the package gguf is needed then.

    Returns:
        A context manager; what the packages offer is what it was after the block.
    """
    if not wanted:
        yield
        return
    import gguf
    from transformers import modeling_gguf_pytorch_utils as loading

    replaced: list[tuple[Any, str, Any]] = [
        (gguf, "GGUFReader", cache(gguf.GGUFReader)),
        (gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
        (loading, "tqdm", _without_bar),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, ours in replaced:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for (module, name, _), theirs in zip(replaced, before, strict=True):
            setattr(module, name, theirs)


def _without_bar(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    return items
