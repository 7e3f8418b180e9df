"""Reads a GGUF file's header once, however often transformers asks for it, and draws no bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from zu_framework.errors import described

_Identity = tuple[str, int, int]  # path, size and time of the last change


@contextmanager
def read_once(wanted: bool) -> Iterator[None]:
    """Let a GGUF file's header, and tables of tensor names, be read once: in this block, and by the next on that file.

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

    reader = gguf.GGUFReader
    replaced: list[tuple[Any, str, Any]] = [
        (gguf, "GGUFReader", lambda path: _read(reader, _identity(path))),
        (gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
        (loading, "load_gguf_checkpoint", _parsing_once(loading.load_gguf_checkpoint)),
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


def damage(file: Path) -> str:
    """Return what stops a GGUF file from being read, "" where its header and the extents of its tensors are whole."""
    import gguf

    try:
        gguf.GGUFReader(file)
    # half a header, or a count that was hit, shows as whatever it makes the reader do
    except Exception as cause:
        return described(cause)
    return ""


def let_go() -> None:
    """Forget the header that was read last, and close its file."""
    _read.cache_clear()
    _parsed.clear()


# what the header of the last file says, so that the check of a model and its loading parse it once
_parsed: dict[_Identity, Any] = {}


def _parsing_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """transformers' reader of a whole file, which parses a header without tensors once."""

    def load_once(path: Any, return_tensors: bool = False, *others: Any, **more: Any) -> Any:
        if return_tensors:
            return load(path, return_tensors, *others, **more)
        identity = _identity(path)
        if identity not in _parsed:
            _parsed.clear()
            _parsed[identity] = load(path, return_tensors, *others, **more)
        return deepcopy(_parsed[identity])  # whoever asks writes to it

    return load_once


@lru_cache(maxsize=1)
def _read(reader: Callable[[str], Any], identity: _Identity) -> Any:
    return reader(identity[0])


def _identity(path: Any) -> _Identity:
    found = Path(path).stat()
    return str(path), found.st_size, found.st_mtime_ns


def _without_bar(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    return items
