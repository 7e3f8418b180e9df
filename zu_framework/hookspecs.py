"""Every hook of the framework. A hook's docstring is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

from zu_framework.specs import (
    AuditSpec,
    BackgroundSpec,
    CollectorSpec,
    DatasetSpec,
    ExecutorSpec,
    LocatorSpec,
    MetricSpec,
    ModelSolverSpec,
    Register,
    SectionSpec,
    SolverSpec,
    TargetSpec,
)

if TYPE_CHECKING:
    from zu_framework.config import Config
    from zu_framework.contracts import RunObserver
    from zu_framework.problem import Architecture, EditProblem, Site, Update
    from zu_framework.registry.manager import Plugins

PROJECT = "zu"
ENTRY_POINTS = "zu_framework"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of its name: `@zu.hookimpl`."""


@hookspec
def zu_register_locators(register: Register[LocatorSpec]) -> None:
    """Offer layer locators: call `register` once a locator.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Locator`.
    """


@hookspec
def zu_register_collectors(register: Register[CollectorSpec]) -> None:
    """Offer representation collectors: call `register` once a collector.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Collector`.
    """


@hookspec
def zu_register_targets(register: Register[TargetSpec]) -> None:
    """Offer target-state builders: call `register` once a builder.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.TargetBuilder`.
    """


@hookspec
def zu_register_solvers(register: Register[SolverSpec | ModelSolverSpec]) -> None:
    """Offer solvers: call `register` once a solver.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Solver` or `ModelSolver`.
    """


@hookspec
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """Offer sources of general text: call `register` once a source.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.BackgroundSource`, or `WrittenBackground` where it needs
    "model".
    """


@hookspec
def zu_register_datasets(register: Register[DatasetSpec]) -> None:
    """Offer data sets: call `register` once a data set.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Dataset`.
    """


@hookspec
def zu_register_metrics(register: Register[MetricSpec]) -> None:
    """Offer metrics: call `register` once a metric.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Metric`.
    """


@hookspec
def zu_register_executors(register: Register[ExecutorSpec]) -> None:
    """Offer executors, which run the cells of a bench: call `register` once an executor.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Executor`.
    """


@hookspec
def zu_register_report_sections(register: Register[SectionSpec]) -> None:
    """Offer sections of a run's page: call `register` once a section.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.ReportSection`.
    """


@hookspec
def zu_register_audits(register: Register[AuditSpec]) -> None:
    """Offer attacks on an edited model: call `register` once an attack.

    Runs once, when components are first listed; import nothing heavy.
    Contract of the implementation: `zu_framework.contracts.Audit`.
    """


@hookspec(firstresult=True)
def zu_architecture(model_type: str, model: Any) -> Architecture | None:
    """Describe a model whose structure the core does not find by itself; None for models you do not know.

    Fires once a model is wrapped, before the core's own search. The first description that is not None is taken, and
    verified by the same probe as the core's own.
    """


@hookspec
def zu_observe_run(config: Config, plugins: Plugins) -> RunObserver | None:
    """Offer an observer of one run; None where this plugin has nothing to see of it.

    Fires once, after the config was checked and before the model is loaded. `plugins` are those of the run: an observer
    that draws registered sections finds them there. Contract: `zu_framework.contracts.RunObserver`.
    """


@hookspec
def zu_site_solved(site: Site, problem: EditProblem, update: Update) -> None:
    """Observe one solved site: fires after the solver returned and before its update is written. Change nothing.

    One that raises is reported, and the run goes on.
    """


@hookspec
def zu_run_finished(result: Any) -> None:
    """Observe a finished run: fires once, after the run folder is in its place. `result` is a `RunResult`.

    One that raises is reported, and the run stays finished.
    """
