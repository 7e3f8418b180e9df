"""What a component receives from the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zu_framework.errors import described

if TYPE_CHECKING:
    from torch import Tensor

    from zu_framework.models import LanguageModel, Sinks
    from zu_framework.problem import Background, ReadPlan, Request, Site


Progress = Callable[[str, int, int], None]
"""Told of a label, how much is done, and of how much: 0 of 0 as a phase begins, n of 0 where nobody knows."""


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing.

    Args:
        label: What is done.
        done: How much of it is.
        total: How much there is to do.
    """


@dataclass(frozen=True)
class Remembered:
    """What a component computed and may find again.

    Args:
        tensors: By name; {} where the facts say it all.
        facts: About them, as JSON holds it.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


Remember = Callable[[str, Callable[[], Mapping[str, Any]], Callable[[], Remembered]], Remembered]
"""`remember(kind, depends_on, compute)` returns what was computed before from the same, else what `compute` returns."""


def compute_anew(
    kind: str, depends_on: Callable[[], Mapping[str, Any]], compute: Callable[[], Remembered]
) -> Remembered:
    """Remember nothing.

    Args:
        kind: Of the result.
        depends_on: Returns all that the result follows from; not called.
        compute: Returns the result.

    Returns:
        What `compute()` returns.
    """
    return compute()


def ignored(name: str, why: str) -> None:
    """Tell nobody of a part that failed.

    Args:
        name: Of the part.
        why: It failed, on one line.
    """


@dataclass(frozen=True)
class RunContext:
    """What a component may know of the run.

    Args:
        seed: Every random draw follows from it.
        batch_size: Rows that a forward pass may hold.
        needs: What the stage's solver needs.
        progress: `progress(label, done, total)` reports anything slow.
        backgrounds: Moments at the sites, by module; empty for a locator and a collector.
        documents: Streams the background's texts afresh on each call; None where the run has none.
        retain: Facts to retain, where the data set has them.
        requests: All facts that the stage forgets, for target builders and solvers: processes, and groups of requests,
            each have a plan of some.
        artifacts: The folder that `keep` writes to; None where nothing is written.
        part_failed: `part_failed(name, why)` is told of what could not be written there.
        remember: `remember(kind, depends_on, compute)` returns what `compute()` returns, or what an earlier run with an
            equal `depends_on()` (JSON values: all that the result follows from) kept.
        sinks: `sinks(lm)` returns where the untouched model writes attention sinks.
        text_keys: `text_keys(lm, sites)` returns inputs (i, t) of sites at tokens of general text that are no sinks, by
            module.
        plan: `plan(lm, requests)` returns what the stage's collector reads of facts, the bare prompts alone.

    The last three are functions of the untouched model, computed when first asked; None outside a run.
    """

    seed: int = 0
    batch_size: int = 32
    needs: frozenset[str] = frozenset()
    progress: Progress = no_progress
    backgrounds: Mapping[str, Background] = field(default_factory=dict)
    documents: Callable[[], Iterable[str]] | None = None
    retain: tuple[Request, ...] = ()
    requests: tuple[Request, ...] = ()
    artifacts: Path | None = None
    part_failed: Callable[[str, str], None] = ignored
    remember: Remember = compute_anew
    sinks: Callable[[LanguageModel], Sinks] | None = None
    text_keys: Callable[[LanguageModel, Sequence[Site]], Mapping[str, Tensor]] | None = None
    plan: Callable[[LanguageModel, Sequence[Request]], ReadPlan] | None = None

    def keep(self, name: str, write: Callable[[Path], object]) -> None:
        """Write curves or plots into the run folder, where there is one.

        What cannot be written is an optional part that failed: it is told, and costs nothing else.

        Args:
            name: What it is, for messages.
            write: `write(folder)` writes files of its own names.
        """
        if self.artifacts is None:
            return
        try:
            self.artifacts.mkdir(parents=True, exist_ok=True)
            write(self.artifacts)
        # a full disk, a plotting library that is not there: the edit is worth more
        except Exception as cause:
            self.part_failed(name, described(cause))


@dataclass(frozen=True)
class AuditContext:
    """What an attack may know of the audit.

    Args:
        seed: Every random draw follows from it.
        batch_size: Rows that a forward pass may hold.
        progress: `progress(label, done, total)` reports anything slow.
        base: The untouched model, where there is one; the same model where that one is attacked.
        twin: A model retrained without the facts, where there is one.
        sites: The edited sites, where they are known; else empty.
        documents: Streams general text afresh on each call; None where there is none.
    """

    seed: int = 0
    batch_size: int = 32
    progress: Progress = no_progress
    base: LanguageModel | None = None
    twin: LanguageModel | None = None
    sites: tuple[Site, ...] = ()
    documents: Callable[[], Iterable[str]] | None = None
