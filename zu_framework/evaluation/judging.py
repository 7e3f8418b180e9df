"""The verdict of a run: what was forgotten, and whether the model is intact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from zu_framework.config import GuardConfig
from zu_framework.evaluation import number_shown
from zu_framework.problem import Measurement
from zu_framework.specs import MetricSpec


@dataclass(frozen=True)
class Verdict:
    """What a run comes to, before anything else that it says.

    Args:
        known: Facts to forget that the untouched model answered.
        forgotten: Of those, the ones that the edited model no longer answers.
        unknown: Prompts of the others: nothing was there to be forgotten.
        not_forgotten: Why it does not count as forgotten, a clause each.
        damage: What the model lost beyond its limits, a clause each.
        reverted: Whether the edit was taken back for it.
    """

    known: int
    forgotten: int
    unknown: tuple[str, ...] = ()
    not_forgotten: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    reverted: bool = False

    @property
    def damaged(self) -> bool:
        """Whether a limit of damage is passed."""
        return bool(self.damage)

    @property
    def headline(self) -> str:
        """One line: "forgotten, model intact", "forgotten, model damaged: ..." or "not forgotten: ..."."""
        if not self.known:
            first = f"not forgotten: none of the {len(self.unknown)} facts was known"
        elif self.not_forgotten:
            first = f"not forgotten: {'; '.join(self.not_forgotten)}"
        else:
            first = "forgotten"
        harm = f"model damaged: {'; '.join(self.damage)}" if self.damage else "model intact"
        if not self.damage and first != "forgotten":
            return first
        back = " (the edit was taken back)" if self.reverted else ""
        return f"{first}, {harm}{back}"

    @property
    def counted(self) -> str:
        """How many facts it is about: "9 of 10 known facts forgotten; 7 of 17 facts were not known"."""
        asked = self.known + len(self.unknown)
        parts = [f"{self.forgotten} of {self.known} known facts forgotten"] if self.known else []
        if self.unknown:
            parts.append(f"{len(self.unknown)} of {asked} facts were not known")
        return "; ".join(parts)

    def plain(self) -> dict[str, object]:
        """Return it as JSON holds it."""
        return {
            "headline": self.headline,
            "counted": self.counted,
            "known": self.known,
            "forgotten": self.forgotten,
            "unknown": list(self.unknown),
            "not_forgotten": list(self.not_forgotten),
            "damage": list(self.damage),
            "reverted": self.reverted,
        }


def judge(
    before: Mapping[str, Measurement],
    after: Mapping[str, Measurement],
    metrics: Sequence[MetricSpec],
    guard: GuardConfig,
    answered: Sequence[tuple[str, bool, bool]],
) -> Verdict:
    """Compare both sides of a run with the limits.

    Args:
        before: Of the untouched model, by metric; may lack what has no value there.
        after: Of the edited model.
        metrics: Which were measured: each says what it tells, and its limit.
        guard: Its `limits` replace those of single metrics.
        answered: For each fact its prompt, and whether the untouched and the edited model answer it.

    Returns:
        The verdict.
    """
    said: dict[str, list[str]] = {"forgetting": [], "damage": []}
    for spec in metrics:
        if spec.tells:
            said[spec.tells] += _passed(spec, before, after, guard)
    known = [(was, now) for _, was, now in answered if was]
    unknown = tuple(prompt for prompt, was, _ in answered if not was)
    left = sum(now for _, now in known)
    return Verdict(
        known=len(known),
        forgotten=len(known) - left,
        unknown=unknown,
        not_forgotten=tuple(said["forgetting"]) if known else (),
        damage=tuple(said["damage"]),
    )


def _passed(
    spec: MetricSpec,
    before: Mapping[str, Measurement],
    after: Mapping[str, Measurement],
    guard: GuardConfig,
) -> Iterator[str]:
    """Yield what passes a metric's limit, in words."""
    assert spec.limit is not None
    name = spec.limited
    old, new = before.get(name), after.get(name)
    if new is None:
        return
    amount = guard.limits.get(name, guard.limits.get(spec.name, spec.limit.amount))
    value, shown = new.value, f"{name} {number_shown(new.value, new.unit)}{new.unit and ' ' + new.unit}"
    if spec.limit.by == "value":
        if not value <= amount:
            yield f"{shown} (at most {amount:g})"
        return
    if old is None:
        return
    was = f"was {number_shown(old.value, old.unit)}"
    if spec.limit.by == "times":
        if not (math.isfinite(value) and value <= amount * old.value):
            yield f"{shown} ({was}; at most {amount:g} times that)"
        return
    worse = old.value - value if spec.better == "higher" else value - old.value
    if not worse <= amount:
        yield f"{shown} ({was}; at most {amount:g} points worse)"
