"""The neutral target builder with a memory: states that a sweep does not touch are optimised once.

What `prepare` finds depends on the untouched model, the texts that are read and the options alone: cells that agree in
these share it. So do sensitive values at the first site, before any write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zu_framework import LanguageModel, ReadPlan, Register, TargetSpec, hookimpl
from zu_plugins.targets.neutral import Neutral
from zu_plugins.targets.options import NeutralOptions

_optimised: dict[Any, Any] = {}


def forget() -> None:
    """Optimise again what is asked for from here on."""
    _optimised.clear()


class OptimisedOnce(Neutral):
    """`neutral`, each state optimised once a process."""

    def _optimise(
        self, lm: LanguageModel, module: str, plan: ReadPlan, texts: Sequence[Sequence[int]], *more: Any
    ) -> Any:
        key = (lm.fingerprint(), module, plan, tuple(map(tuple, texts)), str(self.options))
        if key not in _optimised:
            _optimised[key] = super()._optimise(lm, module, plan, texts, *more)
        return _optimised[key]


@hookimpl
def zu_register_targets(register: Register[TargetSpec]) -> None:
    """The builder under a name of its own."""
    register(
        TargetSpec(
            "neutral-once",
            target="tests.benchmarks.frontier.once:OptimisedOnce",
            summary="neutral, each state optimised once a process",
            options=NeutralOptions,
        )
    )
