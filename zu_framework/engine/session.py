"""What a command works with, as data: configuration, stages, facts, text, model, ledger, journal, processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from zu_framework.config import COMPONENT_GROUPS, STAGE_GROUPS, Config, StageConfig
from zu_framework.config.choosing import (
    check_limits,
    choose,
    chosen_metrics,
    default_background,
    missing,
    shared_components,
)
from zu_framework.contracts import Collector, Progress, RunContext, no_progress
from zu_framework.distribution import Division, Processes, current
from zu_framework.errors import ConfigError, in_stage
from zu_framework.evaluation import Scorer
from zu_framework.evaluation.texts import Documents
from zu_framework.evaluation.untouched import Untouched
from zu_framework.models import AnswerSpace, CheckpointInfo, LanguageModel
from zu_framework.problem import DataSplit, Site
from zu_framework.registry import Chosen, Plugins
from zu_framework.registry.observers import Observers
from zu_framework.specs import MOMENTS, AnySolverSpec, ModelSolverSpec
from zu_framework.store.chosen_model import load_other
from zu_framework.store.intermediates import Intermediates
from zu_framework.store.journal import Journal
from zu_framework.store.ledger import Ledger

ConfigSource = str | Path | Mapping[str, Any] | Config


@dataclass(frozen=True)
class Stage:
    """What is edited together: locator, collector, target builder and solver, by group.

    Args:
        number: Its place in the run, from 0.
        chosen: The four components by their group.
        group_size: Requests that one pass takes; 0 for all.
        sites: What the locator found, shallowest first; empty before it was asked.
        context: What its components may know of the run.
        collector: Built once the model is loaded, before there are moments: it sees none.
    """

    number: int
    chosen: Mapping[str, Chosen]
    group_size: int
    sites: tuple[Site, ...] = ()
    context: RunContext = field(default_factory=RunContext)
    collector: Collector | None = None

    def __getitem__(self, group: str) -> Chosen:
        return self.chosen[group]

    @property
    def needs(self) -> frozenset[str]:
        """What the solver needs under its options."""
        return self["solver"].needs

    @property
    def solves_model(self) -> bool:
        """Whether the solver takes the whole model: collector and target builder then take no part."""
        return isinstance(self["solver"].spec, ModelSolverSpec)

    @property
    def working(self) -> tuple[Chosen, ...]:
        """Its components that take part."""
        idle = ("collector", "target") if self.solves_model else ()
        return tuple(chosen for group, chosen in self.chosen.items() if group not in idle)

    @property
    def moments(self) -> frozenset[str]:
        """The background statistics that solver and target builder need."""
        return frozenset() if self.solves_model else (self.needs | self["target"].needs) & MOMENTS

    @property
    def reads_text(self) -> bool:
        """Whether general text is read: for its moments, or as documents."""
        return bool(self.moments) or "documents" in self["solver"].needs | self["locator"].needs


@dataclass(frozen=True)
class Session:
    """Everything that one command works with; what is found out later makes another one.

    Args:
        config: As given, overrides laid over it.
        plugins: Who offers components and observes.
        stages: What is edited, in order; none for an evaluation.
        data: The data set.
        background: The source of general text.
        metrics: What is measured, in the table's order.
        reference: A scorer of the retrained model that metrics compare with, loaded when first asked.
        progress: Told of anything slow.
        processes: Those that make this run together.
        journal: Events and the time of each phase.
        observers: Plugins that watch.
        split: The facts, and the held-out texts.
        documents: Streams general text afresh on each call; None where the run has none.
        checkpoint: What the model says of itself without its weights.
        partial: The run folder while it is written; None where this process writes none.
        folder: What the run folder will be called.
        intermediates: Where what each site was solved from is kept, on request.
        model: Once it is loaded.
        ledger: The edits that the model carries.
        earlier: Keys (i, m) of those edits, by site.
        untouched: What components ask of the model before any write, once it is loaded.
        answers: How the answer follows each prompt, once that is settled.
    """

    config: Config
    plugins: Plugins
    stages: tuple[Stage, ...] = ()
    data: Chosen | None = None
    background: Chosen | None = None
    metrics: tuple[Chosen, ...] = ()
    reference: Scorer | None = None
    progress: Progress = no_progress
    processes: Processes = field(default_factory=current)
    journal: Journal = field(default_factory=Journal)
    observers: Observers = field(default_factory=Observers)
    split: DataSplit = field(default_factory=lambda: DataSplit(()))
    documents: Documents | None = None
    checkpoint: CheckpointInfo | None = None
    partial: Path | None = None
    folder: Path = Path()
    intermediates: Intermediates = field(default_factory=Intermediates)
    model: LanguageModel | None = None
    ledger: Ledger = field(default_factory=Ledger)
    earlier: Mapping[str, Tensor] = field(default_factory=dict)
    untouched: Untouched | None = None
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

    @property
    def reads_text(self) -> bool:
        """Whether a stage reads general text."""
        return any(stage.reads_text for stage in self.stages)

    @property
    def measures_texts(self) -> bool:
        """Whether a metric reads held-out texts."""
        return any("texts" in metric.needs for metric in self.metrics)


def resolve(
    config: Config,
    plugins: Plugins,
    groups: Sequence[str] = tuple(COMPONENT_GROUPS),
    *,
    progress: Progress = no_progress,
) -> Session:
    """Return a session whose components are found and typed; no implementation is imported, no file read.

    Args:
        config: Of a run, an evaluation or an edit in memory.
        plugins: Who offers the components.
        groups: Those that must be there; the background only where something reads it.
        progress: Told of each phase as it begins, and of anything slow.

    Raises:
        ConfigError: A group is missing, an option unknown or mistyped, a limit of no metric.
        UnknownName: A component that no plugin offers.
        PluginError: Two plugins offer the component.
    """
    shared = shared_components(config, plugins, groups)
    check_limits(config, plugins)
    journal = Journal(progress)
    stages = []
    for stage in config.stages if set(STAGE_GROUPS) <= set(groups) else ():
        with in_stage(stage.number):
            stages.append(_resolved(config, stage, plugins))
    return Session(
        config,
        plugins,
        tuple(stages),
        data=shared.get("data"),
        background=shared.get("background"),
        metrics=chosen_metrics(config, plugins) if "data" in groups else (),
        reference=_reference(config, plugins, progress),
        progress=progress,
        journal=journal,
        observers=Observers(plugins, journal.record),
    )


def _resolved(config: Config, stage: StageConfig, plugins: Plugins) -> Stage:
    for group in STAGE_GROUPS:
        if group not in stage.components:
            raise missing(config, group, plugins)
    chosen = {group: choose(stage.components[group], plugins, stage.origins) for group in STAGE_GROUPS}
    size = stage.components["solver"].group_size
    if size is None:
        spec = cast(AnySolverSpec, chosen["solver"].spec)
        size = spec.group_size or 0
    found = Stage(stage.number, chosen, size)
    if found.reads_text and "background" not in config.components and default_background(plugins) is None:
        moments = ", ".join(sorted(found.moments))
        read = f"needs statistics of general text ({moments})" if moments else "reads general text"
        raise ConfigError(
            f"solver {found['solver'].name!r} with target {found['target'].name!r} {read}: "
            f"add `background: {{name: ...}}`; names: {', '.join(plugins.registry.names('background'))}"
        )
    return found


def _reference(config: Config, plugins: Plugins, progress: Progress) -> Scorer | None:
    """A scorer of `evaluate.reference`; None without one."""
    path = config.evaluate.reference
    if path is None:
        return None
    return Scorer(
        partial(load_other, path, config, plugins, key="evaluate.reference"),
        config.model.batch_size,
        batch_tokens=config.model.batch_tokens,
        max_tokens=config.evaluate.max_tokens,
        progress=progress,
    )
