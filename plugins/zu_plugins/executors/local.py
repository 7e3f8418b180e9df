"""`local`: one job after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zu_framework import Finished, NoOptions

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def execute(work: Work, jobs: Sequence[Mapping[str, Any]], options: NoOptions) -> Iterator[Finished]:
    """Run the jobs in their order."""
    for index, job in enumerate(jobs):
        yield Finished(index, work(job))
