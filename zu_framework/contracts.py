"""What a component receives from the run, and may find again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zu_framework.problem import Background, Request


@dataclass(frozen=True)
class Remembered:
    """What a component computed and may find again: tensors by name, and facts about them that JSON holds."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


Remember = Callable[[str, Callable[[], Mapping[str, Any]], Callable[[], Remembered]], Remembered]


def compute_anew(
    kind: str, depends_on: Callable[[], Mapping[str, Any]], compute: Callable[[], Remembered]
) -> Remembered:
    """Remember nothing."""
    return compute()


@dataclass(frozen=True)
class RunContext:
    """What components may know of the run. needs: of the solver. batch_size: rows a forward pass may hold.

    progress(label, done, total): report progress on anything slow. documents(): the background's texts, streamed
    afresh, or None where the run has none. retain: facts to keep, where the data set has them. artifacts: a folder of
    the run for what a component wants kept (curves, plots), or None where nothing is kept.
    remember(kind, depends_on, compute): what `compute()` answers, or what an earlier run with an equal `depends_on()`
    (JSON values: all that the answer follows from) kept; always computed unless `output.share_targets` is set.
    """

    seed: int = 0
    batch_size: int = 32
    needs: frozenset[str] = frozenset()
    progress: Callable[[str, int, int], None] = lambda label, done, total: None
    backgrounds: Mapping[str, Background] = field(default_factory=dict)
    documents: Callable[[], Iterable[str]] | None = None
    retain: tuple[Request, ...] = ()
    artifacts: Path | None = None
    remember: Remember = compute_anew
