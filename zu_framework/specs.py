"""Registrations: what a plugin says of a component, without importing what implements it.

A spec is light: a name, one line of summary, an options dataclass and `"module:attr"` of the implementation. Listing
every component therefore imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

Need = Literal["keys", "bare_keys", "retain_keys", "sensitive", "key_moment", "value_moment"]
NEEDS: frozenset[str] = frozenset(
    {"keys", "bare_keys", "retain_keys", "sensitive", "key_moment", "value_moment"}
)

Law = Literal["objective", "order-free", "orthogonality"]
LAWS: frozenset[str] = frozenset({"objective", "order-free", "orthogonality"})


@dataclass
class NoOptions:
    """The options of a component that has none."""


@dataclass(frozen=True)
class Spec:
    """What every registration says.

    name: unique among components of its kind. target: `"package.module:attribute"`, imported on first use.
    options: a dataclass whose fields all have defaults; `{name: ..., <fields>}` is the component's config group.
    """

    name: str
    target: str
    summary: str
    options: type[Any] = NoOptions

    kind: ClassVar[str] = "component"


@dataclass(frozen=True)
class LocatorSpec(Spec):
    """Implementation: `locate(lm, requests, options, context) -> list[Site]`, shallowest first."""

    kind: ClassVar[str] = "locator"


@dataclass(frozen=True)
class CollectorSpec(Spec):
    """Implementation: a class `C(options, context)` with `plan(lm, requests)` and `collect(lm, plan, site)`.

    It may have `protected(requests, retain)`: the facts whose bare prompts a solver protects, the facts to keep by
    default.

    needs_subject: it reads at the subject, so that data without subjects are refused before a model is loaded.
    """

    needs_subject: bool = False
    kind: ClassVar[str] = "collector"


@dataclass(frozen=True)
class TargetSpec(Spec):
    """Implementation: a class `T(options, context)` with `prepare(lm, plan, sites)` and `at_site(...)`.

    needs: moments of the background that `at_site` reads, a subset of {"key_moment", "mean_value"}.
    independent: a request's columns depend on that request alone, so that several processes may divide the requests.
    """

    needs: frozenset[str] = frozenset()
    independent: bool = False
    kind: ClassVar[str] = "target"


@dataclass(frozen=True)
class SolverSpec(Spec):
    """Implementation: `solve(problem, options) -> Update`.

    needs: what the problem must carry beyond weight, values and targets; a set, or a function of the options.
    laws: what the contract test checks. `objective`: the slope of its objective vanishes at the answer;
    `order-free`: the order of requests does not matter; `orthogonality`: the answer on forget keys is orthogonal
    to the sensitive values (up to its declared slack).
    group_size: requests per complete pass (collect, solve, write); 0 means all at once.
    """

    needs: frozenset[str] | Callable[[Any], frozenset[str]] = frozenset({"keys"})
    laws: frozenset[str] = frozenset()
    group_size: int = 0
    kind: ClassVar[str] = "solver"

    def needs_of(self, options: Any) -> frozenset[str]:
        """The needs under these options."""
        return self.needs(options) if callable(self.needs) else self.needs


ModelNeed = Literal["documents"]
MODEL_NEEDS: frozenset[str] = frozenset({"documents"})


@dataclass(frozen=True)
class ModelSolverSpec(Spec):
    """Implementation: `solve(lm, requests, sites, options, context) -> list[tuple[Site, Update]]`.

    A solver that needs the whole model (gradient methods). It may train the model's parameters only inside
    `zu_framework.models.lent`, which puts them back; the core writes what it returns. Collector and target builder take
    no part. needs: "documents" where it reads general text; a set, or a function of the options.
    Its names share one namespace with site solvers: both are chosen by `solver.name`.
    """

    needs: frozenset[str] | Callable[[Any], frozenset[str]] = frozenset()
    group_size: int = 0
    kind: ClassVar[str] = "solver"

    def needs_of(self, options: Any) -> frozenset[str]:
        """The needs under these options."""
        return self.needs(options) if callable(self.needs) else self.needs


@dataclass(frozen=True)
class BackgroundSpec(Spec):
    """Implementation: `documents(options) -> Iterator[str]`: general text, one document an item, streamed."""

    kind: ClassVar[str] = "background"


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """Implementation: `load(options, seed) -> DataSplit`. Must not need a model."""

    kind: ClassVar[str] = "dataset"


MetricNeed = Literal["reference"]
METRIC_NEEDS: frozenset[str] = frozenset({"reference"})


@dataclass(frozen=True)
class MetricSpec(Spec):
    """Implementation: `measure(scorer, data) -> Measurement | None` (None: the data hold nothing to measure it on).

    It may answer a mapping of several measurements, shown as `name/key`. A metric whose options dataclass has fields
    is called with `options=` besides; they are `evaluate.options.<name>.<field>`. better: the direction that a user
    who forgets wants. needs: "reference" where it reads `scorer.reference`, a retrained model: a run without
    `evaluate.reference` is then refused.
    """

    better: Literal["lower", "higher", "unchanged"] = "unchanged"
    needs: frozenset[str] = frozenset()
    kind: ClassVar[str] = "metric"


@dataclass(frozen=True)
class ExecutorSpec(Spec):
    """Implementation: `execute(work, jobs, options) -> Iterator[Finished]`, which runs `work(job)` for each job.

    work: a function of a module, job and answer: plain mappings, so that both may go to another process or machine.
    """

    kind: ClassVar[str] = "executor"


@dataclass(frozen=True)
class Finished:
    """What an executor says of one job. index: the job's place; answer: what `work` returned.

    lost: why there is no answer (its worker died), in a sentence.
    """

    index: int
    answer: Mapping[str, Any] | None = None
    lost: str = ""


@dataclass(frozen=True)
class SectionSpec(Spec):
    """Implementation: `section(run: RunReport) -> Markup | str | None` (None: nothing to show of this run).

    title: above the section, the name where it is "". order: sections come in its order, then by name; the shipped ones
    are 10 to 80, ten apart. A section has no options.
    """

    title: str = ""
    order: int = 100
    kind: ClassVar[str] = "report section"


SpecT_contra = TypeVar("SpecT_contra", bound=Spec, contravariant=True)


class Register(Protocol[SpecT_contra]):
    """What a `zu_register_*` hook is handed: call it once a component."""

    def __call__(self, spec: SpecT_contra) -> None:
        """Take one registration."""
