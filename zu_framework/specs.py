"""Registrations: what a plugin says of a component, without importing what implements it.

A spec is light: a name, one line of summary, an options dataclass and `"module:attr"` of the implementation. Listing
every component therefore imports neither torch nor transformers. What the implementation must do is its kind's contract
in `zu_framework.contracts`. A spec is checked when it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from zu_framework.errors import PluginError, described

# What a component may ask of the run. A problem's tensors: keys, bare_keys, retain_keys, sensitive. Moments of general
# text at a site: key_moment, value_moment, mean_value. General text itself: documents; the model, to write it. Of a
# metric: held-out texts, and a reference model. Of a request: its subject.
Need = Literal[
    "keys",
    "bare_keys",
    "retain_keys",
    "sensitive",
    "key_moment",
    "value_moment",
    "mean_value",
    "documents",
    "model",
    "texts",
    "reference",
    "subject",
    "base",
]
MOMENTS: frozenset[str] = frozenset({"key_moment", "value_moment", "mean_value"})

Law = Literal["objective", "order-free", "orthogonality"]
LAWS: frozenset[str] = frozenset({"objective", "order-free", "orthogonality"})

Better = Literal["lower", "higher", "unchanged"]
BETTER: frozenset[str] = frozenset({"lower", "higher", "unchanged"})

# What a remedy may be for besides a need that cannot be met: a site that writes an attention sink, a prediction or a
# measurement of damage above its limit.
TROUBLES: frozenset[str] = frozenset({"sinks", "damage"})

Tells = Literal["", "forgetting", "damage"]
TELLS: frozenset[str] = frozenset({"", "forgetting", "damage"})

By = Literal["times", "points", "value"]
BYS: frozenset[str] = frozenset({"times", "points", "value"})

Needs = frozenset[str] | Callable[[Any], frozenset[str]]


@dataclass
class NoOptions:
    """The options of a component that has none."""


@dataclass(frozen=True)
class Spec:
    """What every registration says.

    Args:
        name: Unique among components of its kind.
        target: `"package.module:attribute"` of the implementation, imported on first use.
        summary: One line.
        options: A dataclass whose fields all have defaults; `{name: ..., <fields>}` is the component's config group.
        needs: What the run must provide; a set, or a function of the options.
        remedies: Need -> what a user can do where it cannot be met, such as "set solver.retain_weight to 0"; and what
            to change where the guard predicts "damage", or a site writes "sinks".
    """

    name: str
    target: str
    summary: str
    options: type[Any] = NoOptions
    needs: Needs = frozenset()
    remedies: Mapping[str, str] = field(default_factory=dict)

    kind: ClassVar[str] = "component"
    known_needs: ClassVar[frozenset[str]] = frozenset()

    def needs_of(self, options: Any) -> frozenset[str]:
        """Return the needs under these options.

        Args:
            options: The options dataclass of the registration.

        Returns:
            Names of `known_needs`.

        Raises:
            PluginError: The registration's function raises, or returns no set of names.
        """
        try:
            needs = self.needs(options) if callable(self.needs) else self.needs
        # a stranger's function may raise anything
        except (Exception, SystemExit) as cause:
            raise PluginError(f"{self.kind} {self.name!r}: its needs raise {described(cause)}") from cause
        if not isinstance(needs, set | frozenset) or not all(isinstance(need, str) for need in needs):
            raise PluginError(
                f"{self.kind} {self.name!r}: its needs are a {type(needs).__name__}, expected a frozenset of names"
            )
        return frozenset(needs)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration, a sentence each; the registry refuses it with the first."""
        for text in ("name", "target", "summary"):
            if not isinstance(getattr(self, text), str):
                yield f"its {text} is a {type(getattr(self, text)).__name__}, expected text"
                return
        if not self.name or ":" not in self.target:
            yield "a spec needs a name and a target 'module:attribute'"
        if not (isinstance(self.options, type) and is_dataclass(self.options)):
            yield "its options must be a dataclass"
            return
        try:
            options = self.options()
        # a stranger's dataclass may raise anything
        except (Exception, SystemExit) as cause:
            yield f"its options cannot be made from their defaults: {described(cause)}"
            return
        for option in fields(options):
            if not _plain(getattr(options, option.name)):
                yield f"the default of its option {option.name!r} is nothing that YAML can hold"
        try:
            yield from _unknown("needs", self.needs_of(options), self.known_needs)
        except PluginError as cause:
            yield str(cause).partition(": ")[2]
        yield from _unknown("remedies for", frozenset(self.remedies), self.known_needs | TROUBLES)


@dataclass(frozen=True)
class LocatorSpec(Spec):
    """Registers a `Locator`.

    Args:
        check: `"module:attr"` of a `LocatorCheck`, which `zu check` calls before weights are loaded; "" for none.
        may_write_sinks: Says of the options whether a site that writes an attention sink may be chosen; None for never.
    """

    check: str = ""
    may_write_sinks: Callable[[Any], bool] | None = None
    kind: ClassVar[str] = "locator"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents"})


@dataclass(frozen=True)
class CollectorSpec(Spec):
    """Registers a `Collector`, by its class.

    It needs "subject" where it reads there.
    """

    kind: ClassVar[str] = "collector"
    known_needs: ClassVar[frozenset[str]] = frozenset({"subject"})


@dataclass(frozen=True)
class TargetSpec(Spec):
    """Registers a `TargetBuilder`, by its class.

    Args:
        independent: A request's columns depend on that request alone, so that processes may divide the requests.
    """

    independent: bool = False
    kind: ClassVar[str] = "target"
    known_needs: ClassVar[frozenset[str]] = frozenset({"key_moment", "mean_value"})


@dataclass(frozen=True)
class Prepared:
    """What a solver computes once for a site and its background, and solves every edit with.

    Args:
        target: `"module:attr"` of a `Prepare`.
        options: Names of the options that it reads.
        reads_weight: Whether it reads the weight; a function of the options where it depends on them.
    """

    target: str
    options: tuple[str, ...] = ()
    reads_weight: bool | Callable[[Any], bool] = True

    def reads_weight_under(self, options: Any) -> bool:
        """Return whether the weight is read under these options.

        Args:
            options: The options dataclass of the registration.

        Returns:
            True where the factor follows from the weight too.
        """
        return self.reads_weight(options) if callable(self.reads_weight) else self.reads_weight


@dataclass(frozen=True)
class SolverSpec(Spec):
    """Registers a `Solver`.

    Args:
        needs: The tensors of the problem and the moments that it reads.
        laws: What the contract test checks. `objective`: the slope of its objective vanishes at the solution;
            `order-free`: the order of requests does not matter; `orthogonality`: the edited output on forget keys is
            orthogonal to the sensitive values (up to its declared slack).
        group_size: Requests per complete pass (collect, solve, write); None takes all at once.
        prepare: Its factor, where it has one.
        full_rank: Why an update is not exactly `W + left @ right`, to be read after "solver NAME", and the way out:
            "scales the whole weight: set solver.slack to 0". A function of the options where it depends on them; ""
            where every update is.
    """

    needs: Needs = frozenset({"keys"})
    laws: frozenset[str] = frozenset()
    group_size: int | None = None
    prepare: Prepared | None = None
    full_rank: str | Callable[[Any], str] = ""
    kind: ClassVar[str] = "solver"
    known_needs: ClassVar[frozenset[str]] = frozenset(
        {"keys", "bare_keys", "retain_keys", "sensitive", "key_moment", "value_moment"}
    )

    def full_rank_under(self, options: Any) -> str:
        """Return why an update under these options is not exactly low-rank.

        Args:
            options: The options dataclass of the registration.

        Returns:
            A clause to be read after "solver NAME"; "" where every update is low-rank.
        """
        return self.full_rank(options) if callable(self.full_rank) else self.full_rank

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        yield from _unknown("laws", self.laws, LAWS)
        if self.prepare is not None and ":" not in self.prepare.target:
            yield f"prepare names {self.prepare.target!r}, which is no 'module:attribute'"
        if self.prepare is not None and is_dataclass(self.options):
            yield from _unknown(
                "options that prepare reads",
                frozenset(self.prepare.options),
                frozenset(option.name for option in fields(self.options)),
            )


@dataclass(frozen=True)
class ModelSolverSpec(Spec):
    """Registers a `ModelSolver`.

    Its names share one namespace with site solvers: `solver.name` chooses either.

    Args:
        group_size: As a site solver's; a model solver takes all requests at once.
        full_rank: As a site solver's.
    """

    group_size: int | None = None
    full_rank: str | Callable[[Any], str] = "trains whole weights"
    kind: ClassVar[str] = "solver"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents"})

    def full_rank_under(self, options: Any) -> str:
        """Return why an update under these options is not exactly low-rank.

        Args:
            options: The options dataclass of the registration.

        Returns:
            A clause to be read after "solver NAME"; "" where every update is low-rank.
        """
        return self.full_rank(options) if callable(self.full_rank) else self.full_rank


@dataclass(frozen=True)
class BackgroundSpec(Spec):
    """Registers a `BackgroundSource`, or a `WrittenBackground` where it needs "model".

    Args:
        serves_by_default: Whether it serves where general text is read and none is given; at its default options then.
    """

    serves_by_default: bool = False
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
class MetricSpec(Spec):
    """Registers a `Metric`.

    It needs "reference" for a retrained model, "texts" for held-out text.

    Args:
        better: The direction that a user who forgets wants.
        tells: What a limit of it is about: "forgetting" (was it forgotten?) or "damage" (is the model intact?); "" for
            a number that takes no part in the verdict.
        limit: The default limit; `guard.limits` of the configuration changes its amount.
        fields: Names of the fields of a user's records that it reads, from `Request.extra`.
    """

    better: Better = "unchanged"
    tells: Tells = ""
    limit: Limit | None = None
    fields: frozenset[str] = frozenset()
    kind: ClassVar[str] = "metric"
    known_needs: ClassVar[frozenset[str]] = frozenset({"reference", "texts"})

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        yield from _unknown("better", frozenset({self.better}), BETTER)
        yield from _unknown("tells", frozenset({self.tells}), TELLS)
        if self.limit is not None:
            yield from _unknown("limit by", frozenset({self.limit.by}), BYS)
        if bool(self.tells) != (self.limit is not None):
            yield "a metric that tells of forgetting or damage has a limit, and only such a one has"


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """Registers an `Executor`."""

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


SpecT_contra = TypeVar("SpecT_contra", bound=Spec, contravariant=True)


class Register(Protocol[SpecT_contra]):
    """What a `zu_register_*` hook is handed: call it once a component."""

    def __call__(self, spec: SpecT_contra) -> None:
        """Take one registration."""


def _plain(value: Any) -> bool:
    """Whether YAML and JSON can hold a value."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | bool | int | float | Enum)


def _unknown(what: str, given: frozenset[str], known: frozenset[str]) -> Iterator[str]:
    wrong = sorted(given - known)
    if wrong:
        listed = f"one of {', '.join(sorted(known))}" if known else "nothing for this kind"
        yield f"{what} {', '.join(map(repr, wrong))} is unknown: use {listed}"
