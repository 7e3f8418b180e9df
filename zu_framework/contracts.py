"""The contract of every kind of component, and what a component receives from the run.

Functions are protocols, classes are abstract bases. Each docstring is the whole contract of its kind: hooks, specs and
documentation point here. Shapes are in the notation of the documentation: a site's weight W is (o, i), n is the number
of requests, columns are requests. Nothing here imports torch when it is imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zu_framework.errors import described

if TYPE_CHECKING:
    from markupsafe import Markup
    from torch import Tensor

    from zu_framework.engine.edit import Edit
    from zu_framework.evaluation import Scorer
    from zu_framework.models import CheckpointInfo, LanguageModel, Sinks
    from zu_framework.problem import (
        AuditFacts,
        Background,
        DataSplit,
        EditProblem,
        Measurement,
        Outcome,
        ReadPlan,
        Representations,
        Request,
        Site,
        TargetStates,
        Update,
    )
    from zu_framework.reporting import RunReport
    from zu_framework.specs import Finished


__all__ = [
    "Audit",
    "AuditContext",
    "BackgroundSource",
    "Collector",
    "Dataset",
    "Executor",
    "Locator",
    "LocatorCheck",
    "Metric",
    "MetricWithOptions",
    "ModelSolver",
    "Prepare",
    "PreparedSolver",
    "Progress",
    "Remember",
    "Remembered",
    "ReportSection",
    "RunContext",
    "RunObserver",
    "Solver",
    "TargetBuilder",
    "WrittenBackground",
    "compute_anew",
    "no_progress",
]

# told of a label, how much is done, and of how much: 0 of 0 as a phase of that name begins, n of 0 where nobody knows
Progress = Callable[[str, int, int], None]


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing.

    Args:
        label: What is done.
        done: How much of it is.
        total: How much there is to do.
    """


# ------------------------------------------------------------------------------------------- what a component receives


@dataclass(frozen=True)
class Remembered:
    """What a component computed and may find again.

    Args:
        tensors: By name.
        facts: About them, as JSON holds it.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


Remember = Callable[[str, Callable[[], Mapping[str, Any]], Callable[[], Remembered]], Remembered]


def compute_anew(
    kind: str, depends_on: Callable[[], Mapping[str, Any]], compute: Callable[[], Remembered]
) -> Remembered:
    """Remember nothing.

    Args:
        kind: Of the result.
        depends_on: Returns all that the result follows from; not called.
        compute: Returns the result.

    Returns:
        What `compute()` returns.
    """
    return compute()


def ignored(name: str, why: str) -> None:
    """Tell nobody of a part that failed.

    Args:
        name: Of the part.
        why: It failed, on one line.
    """


@dataclass(frozen=True)
class RunContext:
    """What a component may know of the run.

    Args:
        seed: Every random draw follows from it.
        batch_size: Rows that a forward pass may hold.
        needs: What the stage's solver needs.
        progress: `progress(label, done, total)` reports anything slow.
        backgrounds: Moments at the sites, by module; empty for a locator.
        documents: Streams the background's texts afresh on each call; None where the run has none.
        retain: Facts to retain, where the data set has them.
        artifacts: The folder that `keep` writes to; None where nothing is written.
        part_failed: `part_failed(name, why)` is told of what could not be written there.
        remember: `remember(kind, depends_on, compute)` returns what `compute()` returns, or what an earlier run with an
            equal `depends_on()` (JSON values: all that the result follows from) kept.
        sinks: `sinks(lm)` returns where the untouched model writes attention sinks.
        text_keys: `text_keys(lm, sites)` returns inputs (i, t) of sites at tokens of general text that are no sinks, by
            module.
        plan: `plan(lm, requests)` returns what the stage's collector reads of facts, the bare prompts alone.

    The last three are functions of the untouched model, computed when first asked; None outside a run.
    """

    seed: int = 0
    batch_size: int = 32
    needs: frozenset[str] = frozenset()
    progress: Progress = no_progress
    backgrounds: Mapping[str, Background] = field(default_factory=dict)
    documents: Callable[[], Iterable[str]] | None = None
    retain: tuple[Request, ...] = ()
    artifacts: Path | None = None
    part_failed: Callable[[str, str], None] = ignored
    remember: Remember = compute_anew
    sinks: Callable[[LanguageModel], Sinks] | None = None
    text_keys: Callable[[LanguageModel, Sequence[Site]], Mapping[str, Tensor]] | None = None
    plan: Callable[[LanguageModel, Sequence[Request]], ReadPlan] | None = None

    def keep(self, name: str, write: Callable[[Path], object]) -> None:
        """Write curves or plots into the run folder, where there is one.

        What cannot be written is an optional part that failed: it is told, and costs nothing else.

        Args:
            name: What it is, for messages.
            write: `write(folder)` writes files of its own names.
        """
        if self.artifacts is None:
            return
        try:
            self.artifacts.mkdir(parents=True, exist_ok=True)
            write(self.artifacts)
        # a full disk, a plotting library that is not there: the edit is worth more
        except Exception as cause:
            self.part_failed(name, described(cause))


# ------------------------------------------------------------------------------------------- where, what, how


class Locator(Protocol):
    """Finds the sites to edit."""

    def __call__(
        self, lm: LanguageModel, requests: Sequence[Request], options: Any, context: RunContext, /
    ) -> list[Site]:
        """Return the sites to edit, shallowest first; leave the model as it was, to the bit.

        Args:
            lm: The model before any write.
            requests: The facts to forget, at least one.
            options: The options dataclass of the registration.
            context: Without backgrounds. Curves and plots are written by `context.keep`.

        Returns:
            At least one site, each a dense linear map of `lm.site(layer)`.

        Raises:
            ConfigError: The options do not fit the model.
        """


class LocatorCheck(Protocol):
    """Checks a locator's options against a model whose weights are not loaded; named by `LocatorSpec.check`."""

    def __call__(self, options: Any, model: CheckpointInfo, /) -> None:
        """Return where the locator can serve this model.

        Args:
            options: The options dataclass of the registration.
            model: What the checkpoint says of itself: type, number of layers, width.

        Raises:
            ConfigError: It cannot; the message says the way out.
        """


class Collector(ABC):
    """Reads keys and values of requests at a site.

    Built with `(options, context)`, once a stage.
    """

    @abstractmethod
    def __init__(self, options: Any, context: RunContext) -> None:
        """Keep the options dataclass of the registration, and the context."""

    @abstractmethod
    def plan(self, lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        """Return which texts are read for each request, and where.

        Runs once, before any write.

        Args:
            lm: The model before any write.
            requests: n facts, to forget or to retain.

        Returns:
            A plan of n rows with equally many prompts; the first of each row is the bare prompt; weights sum to one.

        Raises:
            DataError: A request has not what is read (a subject).
        """

    @abstractmethod
    def collect(self, lm: LanguageModel, plan: ReadPlan, site: Site) -> Representations:
        """Return what the site reads and gives at the plan's places.

        Runs at each site, after the earlier ones were written.

        Args:
            lm: The model, earlier sites written.
            plan: Of `plan`, or a part of it.
            site: One of the locator's sites.

        Returns:
            keys (i, m) and values (o, m) = W keys, without the bias; m = n where averaged over contexts.
        """

    def retained(self, requests: Sequence[Request], retain: Sequence[Request]) -> list[Request]:
        """Return the facts whose bare keys a solver retains (`retain_keys`); by default the facts to retain.

        Args:
            requests: The facts to forget.
            retain: The facts to retain.

        Returns:
            Facts, of which the bare prompt is read.
        """
        return list(retain)


class TargetBuilder(ABC):
    """Builds what a site's output should become.

    Built with `(options, context)`, once a pass over the requests.
    """

    @abstractmethod
    def __init__(self, options: Any, context: RunContext) -> None:
        """Keep the options dataclass of the registration, and the context with its backgrounds."""

    @abstractmethod
    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> Any:
        """Return the state that `at_site` reads.

        Runs once, before the pass writes anything.

        Args:
            lm: The model before this pass.
            plan: The requests of the pass and their texts.
            sites: All sites of the stage, shallowest first.

        Returns:
            Whatever the builder wants to find again; the core hands it on as it is.
        """

    @abstractmethod
    def at_site(
        self, state: Any, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        """Return the targets at one site.

        Runs at each site, after the earlier ones were written.

        Args:
            state: What `prepare` returned.
            lm: The model, earlier sites written.
            site: The site, `sites[index]`.
            index: Its place among the sites, from 0.
            representations: What the collector read there.

        Returns:
            targets (o, m) for the m columns of the representations, without the bias; sensitive (o, m) where
            `context.needs` holds "sensitive", else None.
        """


class Solver(Protocol):
    """Solves one site: pure linear algebra, no model, no tokenizer, no file."""

    def __call__(self, problem: EditProblem, options: Any, /) -> Update:
        """Return the update of the site's weight; change none of the inputs.

        Args:
            problem: Carries what the registration needs, and nothing else.
            options: The options dataclass of the registration.

        Returns:
            An update of shape (o, i). Its report holds `residual`, `condition_number`, `rank`, `relative_norm`, and all
            that was added (ridge, jitter, rank cuts).

        Raises:
            SolverError: The problem cannot be solved as asked; the message says the way out.
        """


class PreparedSolver(Protocol):
    """A `Solver` whose registration names a `prepare`: it is handed the factor too."""

    def __call__(self, problem: EditProblem, options: Any, factor: Any, /) -> Update:
        """Return the update of the site's weight, as a `Solver` does.

        Args:
            problem: As a solver's.
            options: As a solver's.
            factor: What `prepare` returned for the site.

        Returns:
            As a solver does.

        Raises:
            SolverError: As a solver's.
        """


class Prepare(Protocol):
    """Computes what every edit of a site is solved with; named by `SolverSpec.prepare`."""

    def __call__(self, background: Background, weight: Tensor, options: Any, /) -> Any:
        """Return the factor: a tensor, or a frozen dataclass of tensors, numbers and None.

        It must follow from the moments of the background, the weight (o, i) where the registration says that it is
        read, and the options that the registration lists: the core keeps it under a key made of these, of the plugin
        and its version, and of the function's own code.
        """


class ModelSolver(Protocol):
    """Solves with the whole model, as gradient methods do.

    Collector and target builder take no part.
    """

    def __call__(
        self,
        lm: LanguageModel,
        requests: Sequence[Request],
        sites: Sequence[Site],
        options: Any,
        context: RunContext,
        /,
    ) -> Iterable[tuple[Site, Update]]:
        """Return an update for each parameter that changes; leave the model as it was, to the bit.

        Args:
            lm: The model. Its parameters may be trained only inside `zu_framework.models.lent`, which puts them back.
            requests: The facts to forget.
            sites: The locator's sites.
            options: The options dataclass of the registration.
            context: `documents` is there where the registration needs it.

        Returns:
            Each parameter at most once, its update of the shape of `lm.weight(site)`.
        """


# ------------------------------------------------------------------------------------------- what goes in


class BackgroundSource(Protocol):
    """Streams general text."""

    def __call__(self, options: Any, /) -> Iterator[str]:
        """Return an iterator over documents, in a fixed order, afresh on each call.

        How many tokens of a document are read is the core's `background.max_tokens`, no matter of the source.

        Raises:
            ConfigError: No source is given. Raised at the call, before anything is streamed.
            DataError: A document cannot be read: file and line are named.
        """


class WrittenBackground(Protocol):
    """Streams general text that the model writes: of a registration that needs "model"."""

    def __call__(self, options: Any, /, *, lm: LanguageModel) -> Iterator[str]:
        """Return an iterator over documents, in a fixed order. What it yields is kept in the cache, by model.

        Raises:
            ConfigError: The model cannot write what the options ask for.
        """


class Dataset(Protocol):
    """Maps records of a publisher's schema onto requests."""

    def __call__(self, options: Any, seed: int, /) -> DataSplit:
        """Return the facts to forget and, where there are some, to retain. Needs no model: `zu check` calls it.

        Where the registration says `open_fields`, it is called with `declared=` besides: names of fields that metrics
        read, which belong into `Request.extra`.

        Args:
            options: The options dataclass of the registration.
            seed: Decides every draw.

        Raises:
            DataError: A record is broken: file, record number and field are named (`zu_framework.data` does).
        """


# ------------------------------------------------------------------------------------------- what comes out


class Metric(Protocol):
    """Measures one side of an edit, before or after."""

    def __call__(self, scorer: Scorer, data: DataSplit, /) -> Measurement | Mapping[str, Measurement] | None:
        """Return the measurement, several by name (shown as `name/key`), or None: the data hold nothing to measure.

        Args:
            scorer: Scores each probe once, however many metrics ask for it. `scorer.reference` is there where the
                registration needs "reference", `scorer.untouched` after an edit.
            data: The data set's split, with the held-out texts.
        """


class MetricWithOptions(Protocol):
    """A `Metric` whose options dataclass has fields: it is handed them too, by name."""

    def __call__(
        self, scorer: Scorer, data: DataSplit, /, options: Any
    ) -> Measurement | Mapping[str, Measurement] | None:
        """Return the measurement, as a `Metric` does.

        Args:
            scorer: As a metric's.
            data: As a metric's.
            options: The options dataclass of the registration.
        """


@dataclass(frozen=True)
class AuditContext:
    """What an attack may know of the audit.

    Args:
        seed: Every random draw follows from it.
        batch_size: Rows that a forward pass may hold.
        progress: `progress(label, done, total)` reports anything slow.
        base: The untouched model, where there is one; the same model where that one is attacked.
        twin: A model retrained without the facts, where there is one.
        sites: The edited sites, where they are known; else empty.
        documents: Streams general text afresh on each call; None where there is none.
    """

    seed: int = 0
    batch_size: int = 32
    progress: Progress = no_progress
    base: LanguageModel | None = None
    twin: LanguageModel | None = None
    sites: tuple[Site, ...] = ()
    documents: Callable[[], Iterable[str]] | None = None


class Audit(Protocol):
    """Attacks one model: tries to get facts out that an edit removed."""

    def __call__(
        self, lm: LanguageModel, facts: AuditFacts, options: Any, context: AuditContext, /
    ) -> Mapping[str, Outcome]:
        """Return what each variant of the attack got out, by the variant's name; leave the model as it was, to the bit.

        The core calls it for the edited model, and once more for every reference model, with the same facts and seed.

        Args:
            lm: The model under attack. Its weights may be changed only inside `zu_framework.models.altered`.
            facts: The facts that are asked, by group: forget, retain, control.
            options: The options dataclass of the registration.
            context: The reference models, and general text.

        Returns:
            For each variant an outcome that holds, for each group, one number a fact: 1.0 answered, 0.0 not, a share
            where that is what is estimated, None where the fact is not asked.

        Raises:
            AuditError: The attack cannot be made on this model or these facts; the message says why.
        """


class Executor(Protocol):
    """Runs the cells of a bench, somewhere."""

    def __call__(
        self,
        work: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        jobs: Sequence[Mapping[str, Any]],
        options: Any,
        /,
    ) -> Iterator[Finished]:
        """Yield one `Finished` a job, in whatever order they end.

        `work` reports errors of its job itself; a worker that dies loses the job it was at, never the others. When the
        iterator is closed, or an exception (Ctrl-C) leaves it, the workers are stopped.

        Args:
            work: A function of a module; job and result are plain mappings, so that both may go to another machine.
            jobs: At least one.
            options: The options dataclass of the registration.
        """


class ReportSection(Protocol):
    """Draws one section of a run's page."""

    def __call__(self, run: RunReport, /) -> Markup | str | None:
        """Return HTML as `Markup`, best from `zu_framework.reporting.fill`, which escapes.

        A plain string is escaped; None leaves the section out. A section that raises shows its error in its place.

        Args:
            run: What the run folder holds.
        """


class RunObserver(Protocol):
    """Watches a run without changing it.

    One that raises is reported, and the run goes on.
    """

    def before(self, scorer: Scorer, data: DataSplit, sites: Sequence[Site]) -> None:
        """See the untouched model, once the sites are known and the metrics measured.

        Args:
            scorer: Knows what was scored for the metrics.
            data: What is forgotten and retained.
            sites: Where the model will be edited.
        """

    def after(self, scorer: Scorer, edit: Edit) -> None:
        """See the edited model, once it is measured.

        Args:
            scorer: Knows what was scored for the metrics.
            edit: What was done.
        """

    def saved(self, folder: Path, final: Path) -> None:
        """Add to the run folder, where edit and metrics already lie; one that raises counts as a part not saved.

        Args:
            folder: Where it is written.
            final: What it will be called.
        """
