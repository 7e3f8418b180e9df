"""Registrations of what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from zu_framework.specs.base import CheckedSpec, Spec, unknown_names

Better = Literal["lower", "higher", "unchanged"]


BETTER: frozenset[str] = frozenset(get_args(Better))


Tells = Literal["", "forgetting", "damage"]


TELLS: frozenset[str] = frozenset(get_args(Tells))


By = Literal["times", "points", "value"]


BYS: frozenset[str] = frozenset(get_args(By))


@dataclass(frozen=True)
class BackgroundSpec(Spec):
    """Registers a `BackgroundSource`, or a `WrittenBackground` where it needs "model".

    Args:
        serves_by_default: What a run says where this background serves since none was given, its options in braces; ""
            for one that serves where it is named alone. It serves at its default options.
    """

    serves_by_default: str = ""
    kind: ClassVar[str] = "background"
    known_needs: ClassVar[frozenset[str]] = frozenset({"model"})


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """Registers a `Dataset`.

    Args:
        open_fields: Whether its records may hold fields that metrics declare; it is then called with `declared=` too.
    """

    open_fields: bool = False
    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True)
class Limit:
    """How far a measurement may lie, after an edit, before the verdict says so.

    Args:
        amount: How far; what it counts is said by `by`.
        by: "times": at most so many times the untouched model's value; "points": at most so much worse than it;
            "value": the value itself may be at most this, whatever it was.
        key: Of a metric that returns several measurements, the one that is meant.
    """

    amount: float
    by: By = "value"
    key: str = ""


@dataclass(frozen=True)
class MetricSpec(CheckedSpec):
    """Registers a `Metric`.

    It needs "reference" for a retrained model, "texts" for held-out text.

    Args:
        better: The direction that a user who forgets wants.
        tells: What a limit of it is about: "forgetting" (was it forgotten?) or "damage" (is the model intact?); "" for
            a number that takes no part in the verdict.
        limit: The default limit; `guard.limits` of the configuration changes its amount.
        fields: Names of the fields of a user's records that it reads, from `Request.extra`.
        default_order: Its place in the table where a configuration names no metrics; 0 for one that is measured only
            where it is named. The shipped ones are 10 to 100, ten apart.
    """

    better: Better = "unchanged"
    tells: Tells = ""
    limit: Limit | None = None
    fields: frozenset[str] = frozenset()
    default_order: int = 0
    kind: ClassVar[str] = "metric"
    known_needs: ClassVar[frozenset[str]] = frozenset({"reference", "texts"})

    @property
    def limited(self) -> str:
        """The measurement that its limit is about: NAME, or NAME/KEY of several."""
        return f"{self.name}/{self.limit.key}" if self.limit is not None and self.limit.key else self.name

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        yield from unknown_names("better", frozenset({self.better}), BETTER)
        yield from unknown_names("tells", frozenset({self.tells}), TELLS)
        if self.limit is not None:
            yield from unknown_names("limit by", frozenset({self.limit.by}), BYS)
        if bool(self.tells) != (self.limit is not None):
            yield "a metric that tells of forgetting or damage has a limit, and only such a one has"
        if not isinstance(self.default_order, int) or self.default_order < 0:
            yield f"its default_order is a whole number, 0 or above, got {self.default_order!r}"


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """Registers an `Executor`.

    Args:
        side_by_side: Whether it may run several cells at a time, which slows each; the page of a bench says so.
    """

    side_by_side: bool = False
    kind: ClassVar[str] = "executor"


@dataclass(frozen=True)
class Finished:
    """How one job of an executor ended.

    Args:
        index: The job's place.
        answer: What `work` returned.
        lost: Why there is no result (its worker died), in a sentence.
    """

    index: int
    answer: Mapping[str, Any] | None = None
    lost: str = ""


@dataclass(frozen=True)
class SectionSpec(Spec):
    """Registers a `ReportSection`, which has no options.

    Args:
        title: Above the section; the name where it is "".
        order: Sections come in its order, then by name; the shipped ones are 10 to 90, ten apart.
    """

    title: str = ""
    order: int = 100
    kind: ClassVar[str] = "report section"

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        if not isinstance(self.title, str):
            yield f"its title is a {type(self.title).__name__}, expected text"
        if not isinstance(self.order, int):
            yield f"its order is a {type(self.order).__name__}, expected a whole number"


@dataclass(frozen=True)
class AuditSpec(Spec):
    """Registers an `Audit`.

    It needs "documents" where it reads general text, "base" where it cannot do without the untouched model.
    """

    kind: ClassVar[str] = "audit"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents", "base"})
