"""Progress on stderr: bars for whatever takes longer than two seconds; a line a phase where it is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zu_framework.cli.console import stderr
from zu_framework.cli.terminal import say
from zu_framework.printable import printable

AFTER_SECONDS = 2.0

Report = Callable[[str, int, int], None]


@contextmanager
def progress(console: Console | None = None) -> Iterator[Report]:
    """Yield `report(label, done, total)`.

    Args:
        console: Where bars are drawn; by default stderr.

    Yields:
        What is told of anything slow. done 0: a phase of that name begins; total 0: of unknown length.
    """
    console = console or stderr()
    if not console.is_terminal:
        yield _lines()
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bars:
        yield _bars(bars)


def _lines() -> Report:
    """One line as each label is first met: a log shows how far a run came."""
    begun = time.monotonic()
    seen: set[str] = set()

    def report(label: str, done: int, total: int) -> None:
        if label not in seen:
            seen.add(label)
            say(f"{time.monotonic() - begun:7.1f} s  {label}{f' ({total})' if total else ''}")

    return report


def _bars(bars: Progress) -> Report:
    started: dict[str, float] = {}
    tasks: dict[str, TaskID] = {}

    def report(label: str, done: int, total: int) -> None:
        if not done and not total:
            return
        begun = started.setdefault(label, time.monotonic())
        if label not in tasks and time.monotonic() - begun < AFTER_SECONDS:
            return
        if label not in tasks:
            tasks[label] = bars.add_task(printable(label), total=total or None)
        bars.update(tasks[label], completed=done, total=total or None)
        if total and done >= total:  # the same label may come again (another site): start its clock anew
            bars.remove_task(tasks.pop(label))
            started.pop(label, None)

    return report
