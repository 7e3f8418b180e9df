"""What comes out: measurements, attacks, cells of a bench, sections of a page, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from markupsafe import Markup

    from zu_framework.contracts.context import AuditContext
    from zu_framework.engine.edit import Edit
    from zu_framework.evaluation import Scorer
    from zu_framework.models import LanguageModel
    from zu_framework.problem import AuditFacts, DataSplit, Measurement, Outcome, Site
    from zu_framework.reporting import RunReport
    from zu_framework.specs import Finished


class Metric(Protocol):
    """Measures one side of an edit, before or after."""

    def __call__(self, scorer: Scorer, data: DataSplit, /) -> Measurement | Mapping[str, Measurement] | None:
        """Measure the scorer's model; leave it as it was, to the bit.

        Args:
            scorer: Scores each probe once, however many metrics ask for it. `scorer.reference` is there where the
                registration needs "reference", `scorer.untouched` after an edit.
            data: The data set's split, with the held-out texts.

        Returns:
            The measurement, several by name (shown as `name/key`), or None: the data hold nothing to measure.
        """


class MetricWithOptions(Protocol):
    """A `Metric` whose options dataclass has fields: it is handed them too, by name."""

    def __call__(
        self, scorer: Scorer, data: DataSplit, /, options: Any
    ) -> Measurement | Mapping[str, Measurement] | None:
        """Measure as a `Metric` does.

        Args:
            scorer: As a metric's.
            data: As a metric's.
            options: The options dataclass of the registration.

        Returns:
            As a metric.
        """


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

        Returns:
            An iterator; each job's place, and what `work` returned or why there is no result.
        """


class ReportSection(Protocol):
    """Draws one section of a run's page."""

    def __call__(self, run: RunReport, /) -> Markup | str | None:
        """Draw a run.

        A section that raises shows its error in its place.

        Args:
            run: What the run folder holds.

        Returns:
            HTML as `Markup`, best from `zu_framework.reporting.fill`, which escapes. A plain string is escaped; None
            leaves the section out.
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
