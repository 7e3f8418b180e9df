"""What a command works with, made once: configuration, stages, data, model, ledger, journal, processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from zu_framework.config import COMPONENT_GROUPS, STAGE_GROUPS, Config
from zu_framework.contracts import Progress, RunContext, compute_anew, no_progress
from zu_framework.engine.checkpoint import reference_scorer
from zu_framework.engine.components import check_limits, chosen_metrics, resolve_stages, shared_components
from zu_framework.engine.division import Division
from zu_framework.engine.processes import Processes, current
from zu_framework.engine.stage import Stage, locate_stages
from zu_framework.engine.text import Documents
from zu_framework.engine.untouched import Untouched
from zu_framework.evaluation import Scorer
from zu_framework.models import AnswerSpace, CheckpointInfo, LanguageModel
from zu_framework.problem import Background, DataSplit
from zu_framework.registry import Chosen, Plugins
from zu_framework.registry.observers import Observers
from zu_framework.store.intermediates import Intermediates
from zu_framework.store.journal import Journal
from zu_framework.store.ledger import Ledger
from zu_framework.store.sharing import shared_results

LOG = "log.jsonl"

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
        failed_parts: Why optional parts could not be saved, by name.
        observers: Plugins that watch.
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
    failed_parts: dict[str, str] = field(default_factory=dict)
    observers: Observers = field(default_factory=Observers)
    model: LanguageModel | None = None
    answers: Sequence[AnswerSpace] = ()

    @property
    def lm(self) -> LanguageModel:
        """The model, which must be loaded."""
        assert self.model is not None, "the session has no model"
        return self.model

    @property
    def division(self) -> Division:
        """How an edit of the model is divided over the processes of the session."""
        return Division(self.processes, self.lm.device)

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

    @cached_property
    def untouched(self) -> Untouched:
        """What components ask of the model before any write."""
        return Untouched(self.journal, lambda: self.documents)

    def part_failed(self, name: str, why: str) -> None:
        """Note that an optional part could not be saved; the run goes on."""
        self.failed_parts[name] = why
        self.journal.record("part failed", part=name, error=why)

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
            part_failed=self.part_failed,
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
        ConfigError: A group is missing, an option unknown or mistyped, a limit of no metric.
        UnknownName: A component that no plugin offers.
        PluginError: Two plugins offer the component.
    """
    shared = shared_components(config, plugins, groups)
    check_limits(config, plugins)
    journal = Journal()
    return Session(
        config,
        plugins,
        journal=journal,
        observers=Observers(plugins, journal.record),
        stages=resolve_stages(config, plugins) if set(STAGE_GROUPS) <= set(groups) else (),
        data=shared.get("data"),
        background=shared.get("background"),
        metrics=chosen_metrics(config, plugins) if "data" in groups else (),
    )
