"""Every hook of the framework. A hook's docstring is its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

from zu_framework.specs import (
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
    from zu_framework.problem import Architecture, EditProblem, Site, Update

PROJECT = "zu"
ENTRY_POINTS = "zu_framework"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def zu_register_locators(register: Register[LocatorSpec]) -> None:
    """Offer layer locators: call `register(LocatorSpec(...))` once a locator.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `locate(lm, requests, options, context)` answers the sites to edit, shallowest first; it must leave the model as it
    was. What it wants kept (curves, plots) goes into `context.artifacts`, where that is not None.
    """


@hookspec
def zu_register_collectors(register: Register[CollectorSpec]) -> None:
    """Offer representation collectors: call `register(CollectorSpec(...))` once a collector.

    Runs once, when components are first listed; import nothing heavy. The implementation is a class built with
    `(options, context)`. `plan(lm, requests) -> ReadPlan` runs once, before any write: which texts are read and where.
    `collect(lm, plan, site) -> Representations` runs at each site, after the earlier sites were written. A collector
    may have `protected(requests, retain) -> list[Request]`: whose bare prompts a solver protects, `retain` by default.
    """


@hookspec
def zu_register_targets(register: Register[TargetSpec]) -> None:
    """Offer target-state builders: call `register(TargetSpec(...))` once a builder.

    Runs once, when components are first listed; import nothing heavy. The implementation is a class built with
    `(options, context)`. `prepare(lm, plan, sites) -> state` runs once, before any write;
    `at_site(state, lm, site, index, representations) -> TargetStates` at each site, after the earlier ones were
    written. `context.needs` tells whether the solver wants sensitive values: leave them None when it does not.
    """


@hookspec
def zu_register_solvers(register: Register[SolverSpec | ModelSolverSpec]) -> None:
    """Offer solvers: call `register(SolverSpec(...))` or `register(ModelSolverSpec(...))` once a solver.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `solve(problem, options) -> Update` is pure linear algebra on one site: no model, no tokenizer, no files; it must
    not change its inputs. What it declares in `needs` is computed, nothing else. A model solver is
    `solve(lm, requests, sites, options, context) -> list[tuple[Site, Update]]`: it may train what it borrows by
    `zu_framework.models.lent`, and must leave the model as it was.
    """


@hookspec
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """Offer sources of general text: call `register(BackgroundSpec(...))` once a source.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `documents(options) -> Iterator[str]` streams documents in a fixed order; moments are taken over their tokens.
    """


@hookspec
def zu_register_datasets(register: Register[DatasetSpec]) -> None:
    """Offer data sets: call `register(DatasetSpec(...))` once a data set.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `load(options, seed) -> DataSplit` maps the publisher's schema onto requests; a broken record raises `DataError`
    with file, record number and field. It must not need a model: `zu check` calls it.
    """


@hookspec
def zu_register_metrics(register: Register[MetricSpec]) -> None:
    """Offer metrics: call `register(MetricSpec(...))` once a metric.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `measure(scorer, data) -> Measurement | None` reads the batched scorer, which scores each probe once however many
    metrics ask for it; None means that these data hold nothing to measure it on. It may answer a mapping of several
    measurements, shown as `name/key`. Where the spec's options have fields, it is called with `options=` besides;
    where its needs name "reference", `scorer.reference` scores under the model of `evaluate.reference`.
    """


@hookspec
def zu_register_executors(register: Register[ExecutorSpec]) -> None:
    """Offer executors, which run the cells of a bench: call `register(ExecutorSpec(...))` once an executor.

    Runs once, when components are first listed; import nothing heavy. The implementation
    `execute(work, jobs, options) -> Iterator[Finished]` yields one `Finished` a job, in whatever order they end. `work`
    answers errors of its job itself; a worker that dies loses the job it was at, never the others. When the iterator is
    closed, or an exception (Ctrl-C) leaves it, the workers are stopped; a job that is cut off leaves nothing behind.
    """


@hookspec
def zu_register_report_sections(register: Register[SectionSpec]) -> None:
    """Offer sections of a run's page: call `register(SectionSpec(...))` once a section.

    Runs once, when components are first listed; import nothing heavy. The implementation `section(run)` is handed what
    the run folder holds (`zu_framework.reporting.RunReport`) and answers HTML as `Markup`, best from
    `zu_framework.reporting.fill`, which escapes; a plain string is escaped; None leaves the section out. The page runs
    no script but its own and loads nothing. A section that raises shows its error in its place, the others stay.
    """


@hookspec(firstresult=True)
def zu_architecture(model_type: str, model: Any) -> Architecture | None:
    """Describe a model whose structure the core does not find by itself; None for models you do not know.

    Fires once a model is wrapped, before the core's own search. The first plugin that answers wins; the answer is
    verified by the same probe as the core's own.
    """


@hookspec
def zu_site_solved(site: Site, problem: EditProblem, update: Update) -> None:
    """Observe one solved site: fires after the solver returned and before its update is written. Change nothing."""


@hookspec
def zu_run_finished(result: Any) -> None:
    """Observe a finished run: fires once, after the run folder is in its place. `result` is a `RunResult`."""
