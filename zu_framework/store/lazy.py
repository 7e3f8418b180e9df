"""Sequences of what is too large to be held together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Entry = TypeVar("Entry", covariant=True)


class Lazy(Sequence[Entry]):
    """A sequence whose entries are made anew whenever they are asked for, and not kept.

    Args:
        makers: One an entry; returns the same each time.
    """

    def __init__(self, makers: Sequence[Callable[[], Entry]]) -> None:
        self._makers = tuple(makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Lazy(self._makers[index])
        return self._makers[index]()
