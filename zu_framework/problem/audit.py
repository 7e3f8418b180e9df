"""What an audit asks, and what an attack got out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zu_framework.problem.requests import Request

GROUPS = ("forget", "retain", "control")


@dataclass(frozen=True)
class AuditFacts:
    """The facts that an attack asks for, by group.

    Args:
        forget: Facts that the edit was to remove.
        retain: Facts that should still be answered; they show what the attack itself destroys.
        control: Facts that no model knows, in the wording of the forgotten ones: they show chance.
        spare: Facts to retain that are not asked: an attack may train on them, or show them as examples.
        asked: The groups whose facts are asked; the others are there to build an attack from.
    """

    forget: tuple[Request, ...]
    retain: tuple[Request, ...] = ()
    control: tuple[Request, ...] = ()
    spare: tuple[Request, ...] = ()
    asked: tuple[str, ...] = GROUPS

    @property
    def others(self) -> tuple[Request, ...]:
        """All facts to retain, those that are asked first."""
        return (*self.retain, *self.spare)

    def groups(self) -> Iterator[tuple[str, tuple[Request, ...]]]:
        """Yield name and facts of each group that is asked and has some."""
        for name in self.asked:
            facts = getattr(self, name)
            if facts:
                yield name, facts


@dataclass(frozen=True)
class Outcome:
    """What one variant of an attack got out of one model.

    Args:
        answered: Group -> one number a fact, in the facts' order: 1.0 answered, 0.0 not, a share in between where that
            is what is estimated, None where the fact was not asked.
        prompts: Group -> the text that got each fact out, "" where none did.
        curve: Named series over the steps of the attack.
        report: What else was measured, as JSON holds it.
    """

    answered: Mapping[str, tuple[float | None, ...]]
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
