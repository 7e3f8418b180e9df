"""Progress bars on stderr, for whatever takes longer than two seconds; none when stderr is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

AFTER_SECONDS = 2.0


@contextmanager
def progress(console: Console | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Yield `report(label, done, total)`. total 0: unknown length."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda label, done, total: None
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    started: dict[str, float] = {}
    tasks: dict[str, TaskID] = {}

    def report(label: str, done: int, total: int) -> None:
        begun = started.setdefault(label, time.monotonic())
        if label not in tasks and time.monotonic() - begun < AFTER_SECONDS:
            return
        if label not in tasks:
            tasks[label] = bars.add_task(label, total=total or None)
        bars.update(tasks[label], completed=done, total=total or None)
        if total and done >= total:  # the same label may come again (another site): start its clock anew
            bars.remove_task(tasks.pop(label))
            started.pop(label, None)

    with bars:
        yield report
