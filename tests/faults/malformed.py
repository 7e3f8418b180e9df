"""Malformed inputs through the command line: refused in a sentence, or harmless and the result right."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults import odd_inputs, odd_models, odd_runs
from tests.faults.world import Trial, World, rotated

KINDS = (*odd_inputs.MAKERS, *odd_models.MAKERS, *odd_runs.MAKERS)


def malformed(world: World, count: int) -> Iterator[Trial]:
    """Every kind in turn."""
    yield from rotated(list(KINDS), world, count)
