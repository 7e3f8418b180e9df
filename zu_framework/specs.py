"""Registrations: what a plugin says of a component, without importing what implements it.

A spec is light: a name, one line of summary, an options dataclass and `"module:attr"` of the implementation. Listing
every component therefore imports neither torch nor transformers. What the implementation must do is its kind's contract
in `zu_framework.contracts`. A spec is checked when it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

# What a component may ask of the run. A problem's tensors: keys, bare_keys, retain_keys, sensitive. Moments of general
# text at a site: key_moment, value_moment, mean_value. General text itself: documents. Of a metric: held-out texts, and
# a reference model. Of a request: its subject.
Need = Literal[
    "keys", "bare_keys", "retain_keys", "sensitive",
    "key_moment", "value_moment", "mean_value",
    "documents", "texts", "reference", "subject", "base",
]  # fmt: skip
MOMENTS: frozenset[str] = frozenset({"key_moment", "value_moment", "mean_value"})

Law = Literal["objective", "order-free", "orthogonality"]
LAWS: frozenset[str] = frozenset({"objective", "order-free", "orthogonality"})

Better = Literal["lower", "higher", "unchanged"]
BETTER: frozenset[str] = frozenset({"lower", "higher", "unchanged"})

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
        remedies: Need -> what a user can do where it cannot be met, such as "set solver.retain_weight to 0".
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
        """Return the needs under these options."""
        return self.needs(options) if callable(self.needs) else self.needs

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration, a sentence each; the registry refuses it with the first."""
        if not self.name or ":" not in self.target:
            yield "a spec needs a name and a target 'module:attribute'"
        if not (isinstance(self.options, type) and is_dataclass(self.options)):
            yield f"options must be a dataclass, got {self.options!r}"
            return
        try:
            needs = self.needs_of(self.options())
        except Exception as cause:  # a stranger's dataclass or function may raise anything
            yield f"its options or needs cannot be evaluated at their defaults ({type(cause).__name__}: {cause})"
            return
        yield from _unknown("needs", needs, self.known_needs)
        yield from _unknown("remedies for", frozenset(self.remedies), self.known_needs)


@dataclass(frozen=True)
class LocatorSpec(Spec):
    """Registers a `Locator`.

    Args:
        check: `"module:attr"` of a `LocatorCheck`, which `zu check` calls before weights are loaded; "" for none.
    """

    check: str = ""
    kind: ClassVar[str] = "locator"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents"})


@dataclass(frozen=True)
class CollectorSpec(Spec):
    """Registers a `Collector`, by its class. It needs "subject" where it reads there."""

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
        """Return whether the weight is read under these options."""
        return self.reads_weight(options) if callable(self.reads_weight) else self.reads_weight


@dataclass(frozen=True)
class SolverSpec(Spec):
    """Registers a `Solver`.

    Args:
        laws: What the contract test checks. `objective`: the slope of its objective vanishes at the answer;
            `order-free`: the order of requests does not matter; `orthogonality`: the answer on forget keys is
            orthogonal to the sensitive values (up to its declared slack).
        group_size: Requests per complete pass (collect, solve, write); None takes all at once.
        prepare: Its factor, where it has one.
    """

    needs: Needs = frozenset({"keys"})
    laws: frozenset[str] = frozenset()
    group_size: int | None = None
    prepare: Prepared | None = None
    kind: ClassVar[str] = "solver"
    known_needs: ClassVar[frozenset[str]] = frozenset(
        {"keys", "bare_keys", "retain_keys", "sensitive", "key_moment", "value_moment"}
    )

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
    """Registers a `ModelSolver`. Its names share one namespace with site solvers: `solver.name` chooses either.

    Args:
        group_size: As a site solver's; a model solver takes all requests at once.
    """

    group_size: int | None = None
    kind: ClassVar[str] = "solver"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents"})


@dataclass(frozen=True)
class BackgroundSpec(Spec):
    """Registers a `BackgroundSource`."""

    kind: ClassVar[str] = "background"


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """Registers a `Dataset`."""

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True)
class MetricSpec(Spec):
    """Registers a `Metric`. It needs "reference" for a retrained model, "texts" for held-out text.

    Args:
        better: The direction that a user who forgets wants.
    """

    better: Better = "unchanged"
    kind: ClassVar[str] = "metric"
    known_needs: ClassVar[frozenset[str]] = frozenset({"reference", "texts"})

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        yield from _unknown("better", frozenset({self.better}), BETTER)


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """Registers an `Executor`."""

    kind: ClassVar[str] = "executor"


@dataclass(frozen=True)
class Finished:
    """What an executor says of one job.

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
        order: Sections come in its order, then by name; the shipped ones are 10 to 80, ten apart.
    """

    title: str = ""
    order: int = 100
    kind: ClassVar[str] = "report section"

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        if not isinstance(self.order, int):
            yield f"order is a whole number, got {self.order!r}"


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


def _unknown(what: str, given: frozenset[str], known: frozenset[str]) -> Iterator[str]:
    wrong = sorted(given - known)
    if wrong:
        listed = f"one of {', '.join(sorted(known))}" if known else "nothing for this kind"
        yield f"{what} {', '.join(map(repr, wrong))} is unknown: use {listed}"
