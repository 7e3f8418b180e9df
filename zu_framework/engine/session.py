"""What a command works with, made once: configuration, stages, data, model, ledger, journal, processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from zu_framework.config import COMPONENT_GROUPS, STAGE_GROUPS, Config, load_config, options_from
from zu_framework.contracts import Progress, RunContext, compute_anew, no_progress
from zu_framework.engine.checkpoint import carried_edits, check_checkpoint, load_model, reference_scorer
from zu_framework.engine.guard import Guard
from zu_framework.engine.inputs import check_outputs, read_data
from zu_framework.engine.processes import Processes, current, joined
from zu_framework.engine.stage import Stage, choose, locate_stages, missing, resolve_stages
from zu_framework.engine.text import Documents, open_text, write_text
from zu_framework.engine.untouched import Untouched
from zu_framework.errors import ConfigError
from zu_framework.evaluation import Scorer
from zu_framework.models import AnswerSpace, CheckpointInfo, LanguageModel, Sinks
from zu_framework.problem import Background, DataSplit
from zu_framework.registry import Chosen, Plugins, installed_plugins
from zu_framework.registry.observers import Observers
from zu_framework.specs import MetricSpec
from zu_framework.store.intermediates import Intermediates
from zu_framework.store.journal import Journal
from zu_framework.store.ledger import Ledger
from zu_framework.store.run_folder import run_folder
from zu_framework.store.sharing import shared_results

ConfigSource = str | Path | Mapping[str, Any] | Config


@dataclass
class Session:
    """Everything that one command works with.

    Args:
        config: As given, overrides laid over it.
        plugins: Who offers components and observes.
        stages: What is edited, in order; none for an evaluation.
        data: The data set.
        background: The source of general text.
        metrics: What is measured, in the table's order.
        progress: Told of anything slow.
        processes: Those that make this run together.
        journal: Events and the time of each phase.
        split: The facts, and the held-out texts.
        documents: Streams general text afresh on each call; None where the run has none.
        checkpoint: What the model says of itself without its weights.
        ledger: The edits that the model carries.
        earlier: Keys (i, m) of those edits, by site.
        intermediates: Where what each site was solved from is kept, on request.
        partial: The run folder while it is written; None where this process writes none.
        folder: What the run folder will be called; once it is in place, what it is called.
        moved: Why that is another name than the one reserved; "" where it is not.
        observers: Plugins that watch.
        guard: Asked before every write; passes everything until a model is there.
        untouched: What components ask of the model before any write.
        model: Once it is loaded.
        answers: How the answer follows each prompt, once that is settled.
    """

    config: Config
    plugins: Plugins
    stages: tuple[Stage, ...] = ()
    data: Chosen | None = None
    background: Chosen | None = None
    metrics: tuple[Chosen, ...] = ()
    progress: Progress = no_progress
    processes: Processes = field(default_factory=current)
    journal: Journal = field(default_factory=Journal)
    split: DataSplit = field(default_factory=lambda: DataSplit(()))
    documents: Documents | None = None
    checkpoint: CheckpointInfo | None = None
    ledger: Ledger = field(default_factory=Ledger)
    earlier: Mapping[str, Tensor] = field(default_factory=dict)
    intermediates: Intermediates = field(default_factory=Intermediates)
    partial: Path | None = None
    folder: Path = Path()
    moved: str = ""
    observers: Observers = field(default_factory=Observers)
    guard: Guard = field(default_factory=Guard)
    untouched: Untouched = field(init=False)
    model: LanguageModel | None = None
    answers: Sequence[AnswerSpace] = ()

    def __post_init__(self) -> None:
        self.untouched = Untouched(self.journal, lambda: self.documents)

    @property
    def lm(self) -> LanguageModel:
        """The model, which must be loaded."""
        assert self.model is not None, "the session has no model"
        return self.model

    def report_to(self, progress: Progress) -> None:
        """Tell whoever watches of each phase as it begins, and of anything slow."""
        self.progress = progress
        self.journal.on_phase = lambda name: progress(name, 0, 0)

    @cached_property
    def metric_functions(self) -> dict[str, Callable[..., Any]]:
        """The metrics by name, each with its options bound: `metric(scorer, data)`."""
        return {
            metric.name: partial(metric.load(), options=metric.options)
            if fields(metric.spec.options)
            else metric.load()
            for metric in self.metrics
        }

    def import_all(self) -> None:
        """Import the implementation of everything that was chosen.

        Raises:
            PluginError: One cannot be imported.
        """
        shared = [chosen for chosen in (self.data, self.background) if chosen is not None]
        staged = [chosen for stage in self.stages for chosen in stage.chosen.values()]
        for chosen in (*shared, *staged, *self.metrics):
            chosen.load()

    def sinks_left_out(self) -> Sinks | None:
        """Return the tokens that take no part in the moments of general text; None where all do."""
        background = self.config.components.get("background")
        return None if background is None or background.sinks == "keep" else self.untouched.sinks(self.lm)

    def scorer(self, lm: LanguageModel, untouched: Scorer | None = None) -> Scorer:
        """Return a scorer of a model as it is now, by the config's sizes."""
        return Scorer(
            lm,
            self.config.model.batch_size,
            batch_tokens=self.config.model.batch_tokens,
            max_tokens=self.config.evaluate.max_tokens,
            progress=self.progress,
            reference=self.reference,
            untouched=untouched,
        )

    @cached_property
    def reference(self) -> Scorer | None:
        """A scorer of the retrained model that metrics compare with; None without one."""
        return reference_scorer(self.config, self.plugins, self.progress)

    def locate(self) -> None:
        """Find the sites of every stage for the facts to forget, on the model as it is now."""
        with self.journal.phase("locate"):
            locate_stages(self.stages, self.lm, self.split.forget, self.context)
        for stage in self.stages:
            self.journal.record("sites", stage=stage.number, sites=[site.module for site in stage.sites])

    def context(self, stage: Stage, backgrounds: Mapping[str, Background] | None = None) -> RunContext:
        """Return what a stage's components may know of the run. Further stages keep their curves and plots apart."""
        artifacts = self.partial and (
            self.partial / f"stage-{stage.number + 1}" if stage.number else self.partial
        )
        context = RunContext(
            seed=self.config.seed,
            batch_size=self.config.model.batch_size,
            needs=stage.needs,
            progress=self.progress,
            backgrounds=backgrounds or {},
            documents=self.documents,
            retain=self.split.retain,
            artifacts=artifacts,
            remember=shared_results(self.journal) if self.config.output.share_targets else compute_anew,
            sinks=self.untouched.sinks,
            text_keys=self.untouched.text_keys,
        )
        return replace(context, plan=partial(stage.bare_plan, context))


def resolve(config: Config, plugins: Plugins, groups: Sequence[str] = tuple(COMPONENT_GROUPS)) -> Session:
    """Return a session whose components are found and typed; no implementation is imported, no file read.

    Args:
        config: Of a run, an evaluation or an edit in memory.
        plugins: Who offers the components.
        groups: Those that must be there; the background only where something reads it.

    Raises:
        ConfigError: A group is missing, an option unknown or mistyped.
        UnknownName: A component that no plugin offers.
        PluginError: Two plugins offer the component.
    """
    if "data" in groups and "data" not in config.components:
        raise missing(config, "data", plugins)
    shared = {g: choose(c, plugins, config.origins) for g, c in config.components.items()}
    journal = Journal()
    return Session(
        config,
        plugins,
        journal=journal,
        observers=Observers(plugins, journal.record),
        stages=resolve_stages(config, plugins) if set(STAGE_GROUPS) <= set(groups) else (),
        data=shared.get("data") if "data" in groups else None,
        background=shared.get("background"),
        metrics=_metrics(config, plugins) if "data" in groups else (),
    )


def _metrics(config: Config, plugins: Plugins) -> tuple[Chosen, ...]:
    for name in config.evaluate.options:
        if name not in config.evaluate.metrics:
            raise ConfigError(
                f"evaluate.options gives options to {name!r}, which evaluate.metrics does not list: "
                f"{', '.join(config.evaluate.metrics)}"
            )
    return tuple(_metric(name, config, plugins) for name in config.evaluate.metrics)


def _metric(name: str, config: Config, plugins: Plugins) -> Chosen:
    """Return a metric with its options. Raises `ConfigError` where it lacks the model that it compares with."""
    registered = plugins.registry.get(MetricSpec.kind, name)
    given = config.evaluate.options.get(name) or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"evaluate.options.{name} is a mapping of options, got {given!r}")
    where = f"evaluate.options.{name}"
    metric = Chosen(registered, options_from(registered.spec, given, where=where, origins=config.origins))
    if "reference" in metric.needs and config.evaluate.reference is None:
        raise ConfigError(
            f"metric {name!r} compares with a model that was retrained without the forget facts: give it by "
            "evaluate.reference=FOLDER, or leave the metric out of evaluate.metrics"
        )
    return metric


def read_inputs(session: Session) -> None:
    """Import what was chosen, and read the data and text of a session.

    Raises:
        ZuError: Whatever can be known of an impossible run before a weight is loaded, but for its model.
    """
    assert session.data is not None
    session.import_all()
    check_outputs(session.config, session.stages)
    declared = session.plugins.registry.record_fields
    session.split = read_data(session.config, session.data, session.stages, declared)
    open_text(session)


def open_session(
    config: ConfigSource,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Session:
    """Return the session of a run, all checked that can be without loading weights.

    Raises:
        ZuError: It says what to mend; nothing was written.
    """
    plugins = plugins or installed_plugins()
    session = resolve(load_config(config, overrides, plugins=plugins), plugins)
    session.report_to(progress)
    read_inputs(session)
    session.checkpoint = check_checkpoint(session.config)
    for stage in session.stages:
        stage.check_model(session.checkpoint)
    return session


@contextmanager
def open_run(
    config: ConfigSource, overrides: Sequence[str], plugins: Plugins | None, progress: Progress
) -> Iterator[Session]:
    """Yield the session of a run: its folder reserved, its observers called in, its model loaded, its sites located.

    Where the block ends the run folder appears; on any error nothing is left. Started by torchrun, several processes
    join here.
    """
    with joined() as processes:
        session = open_session(config, overrides, plugins=plugins, progress=progress)
        session.processes = processes
        with _place(session):
            journal, split = session.journal, session.split
            counts = {"forget": len(split.forget), "retain": len(split.retain)}
            journal.record(
                "start", config=session.config.name, seed=session.config.seed, **counts, notes=split.notes
            )
            if processes.first:
                session.observers.begin(session.config)
            else:
                session.observers = Observers()
            with journal.phase("load"):
                session.model = load_model(session.config, session.plugins)
            write_text(session)
            session.ledger, session.earlier = carried_edits(session.config)
            if session.ledger.entries:
                journal.record("ledger", edits=[entry.id for entry in session.ledger.entries])
            session.locate()  # a wrong layer is refused before anything slow
            yield session
        processes.tell("done")  # no process ends before the run folder is there


@contextmanager
def _place(session: Session) -> Iterator[None]:
    """Reserve the run folder: the first process writes it, and tells the others what it will be called."""
    if not session.processes.first:
        session.folder = Path(session.processes.tell())
        yield
        return
    with run_folder(session.config) as place:
        session.partial, session.folder = place
        with (session.partial / "log.jsonl").open("w", encoding="utf-8") as log:
            session.processes.tell(str(session.folder))
            if session.config.output.intermediates:
                session.intermediates = Intermediates(session.partial)
            session.journal.write_to(log)
            try:
                yield
            finally:
                session.journal.continue_in(None)  # the log closes with the folder
    session.folder, session.moved = place.final, place.note


def finish(session: Session, result: Any) -> None:
    """Tell the observers of a finished run; what goes wrong with them is appended to its log.

    Args:
        session: Its run folder is in place.
        result: What the observers see.
    """
    if session.partial is None:
        return
    with (session.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        session.journal.continue_in(log)
        try:
            session.observers.finished(result)
        finally:
            session.journal.continue_in(None)
