"""One stage of a run: its components with their typed options, what they need, and the sites that they work at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

from zu_framework.contracts import Collector, RunContext
from zu_framework.engine.problems import bare
from zu_framework.errors import ConfigError, DataError, in_stage
from zu_framework.models import CheckpointInfo, LanguageModel
from zu_framework.problem import ReadPlan, Request, Site
from zu_framework.registry.chosen import Chosen
from zu_framework.specs import MOMENTS, LocatorSpec, ModelSolverSpec


@dataclass
class Stage:
    """What is edited together: locator, collector, target builder and solver, by group.

    Args:
        number: Its place in the run, from 0.
        chosen: The four components by their group.
        group_size: Requests that one pass takes; 0 for all.
        sites: What the locator found, shallowest first; empty before `locate`.
        reads_at: The collector, once it is built.
    """

    number: int
    chosen: Mapping[str, Chosen]
    group_size: int
    sites: tuple[Site, ...] = ()
    reads_at: Collector | None = None

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
    def reads_subject(self) -> bool:
        """Whether requests are read at their subject."""
        return not self.solves_model and "subject" in self["collector"].needs

    @property
    def reads_text(self) -> bool:
        """Whether general text is read: for its moments, or as documents."""
        readers = self["solver"].needs | self["locator"].needs
        return bool(self.moments()) or "documents" in readers

    def moments(self, *, written_before: bool = False) -> frozenset[str]:
        """Return the background statistics that solver and target builder need.

        The value moment changes with every write. Where a site is written before it is solved for the last time, it
        comes from the key moment.

        Args:
            written_before: Whether another stage writes the site too, or trained the model.
        """
        if self.solves_model:
            return frozenset()
        wanted = (self.needs | self["target"].needs) & MOMENTS
        if (written_before or self.group_size) and "value_moment" in wanted:
            wanted = (wanted - {"value_moment"}) | {"key_moment"}
        return frozenset(wanted)

    def check_model(self, model: CheckpointInfo) -> None:
        """Ask the locator whether it can serve a model whose weights are not loaded.

        Raises:
            ConfigError: It cannot; the message says the way out.
        """
        locator = self["locator"]
        spec = cast(LocatorSpec, locator.spec)
        if spec.check:
            with in_stage(self.number):
                locator.registered.load(spec.check)(locator.options, model)

    def check_facts(self, forget: Sequence[Request], retain: Sequence[Request]) -> None:
        """Check that the facts carry what this stage reads of them.

        Raises:
            ConfigError: The solver reads facts to retain, and there are none.
            DataError: A fact has no subject, where the collector reads there.
        """
        solver, collector = self["solver"], self["collector"]
        retains = not self.solves_model and "retain_keys" in self.needs
        with in_stage(self.number):
            if retains and not retain:
                raise ConfigError(
                    f"solver {solver.name!r} reads facts to retain under these options, and there are none"
                    f"{solver.remedy('retain_keys') or ': give them by data.retain'}"
                )
            read = (*forget, *retain) if retains else forget
            without = next((request for request in read if request.subject is None), None)
            if self.reads_subject and without is not None:
                raise DataError(
                    f"{without.source or repr(without.prompt)}: no subject, which collector {collector.name!r} reads"
                    f"{collector.remedy('subject')}"
                )

    def looks_where(self, other: Stage) -> bool:
        """Return whether both stages have the same locator, and a collector that reads at the same place."""
        return self["locator"] == other["locator"] and self["collector"].name == other["collector"].name

    def collector(self, context: RunContext) -> Collector:
        """Return the collector, built on the first call, which may be before there are moments: it sees none."""
        if self.reads_at is None:
            chosen = self["collector"]
            self.reads_at = chosen.load()(chosen.options, replace(context, backgrounds={}))
        return self.reads_at

    def bare_plan(self, context: RunContext, lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        """Return what the collector reads of facts, the bare prompts alone."""
        return bare(self.collector(context).plan(lm, requests))

    def locate(self, lm: LanguageModel, requests: Sequence[Request], context: RunContext) -> None:
        """Find this stage's sites, each verified to compute `W k + b`, none of them one that writes a sink.

        Raises:
            ConfigError: The locator cannot serve this model, finds nothing, or finds a site that writes an attention
                sink, which its registration does not allow under these options.
        """
        locator = self["locator"]
        with in_stage(self.number):
            sites: list[Site] = list(locator.load()(lm, requests, locator.options, context))
            if not sites:
                raise ConfigError(
                    f"locator {locator.name!r} found no site: change its options, or choose another locator.name"
                )
            sites.sort(key=lambda site: site.layer)
            self._refuse_sinks(lm, sites, context)
            for site in sites:
                lm.verify(site)
        self.sites = tuple(sites)

    def _refuse_sinks(self, lm: LanguageModel, sites: Sequence[Site], context: RunContext) -> None:
        locator = self["locator"]
        spec = cast(LocatorSpec, locator.spec)
        if context.sinks is None or (spec.may_write_sinks and spec.may_write_sinks(locator.options)):
            return
        sinks = context.sinks(lm)
        written = [site for site in sites if sinks.writes(site)]
        if written:
            said = "; ".join(f"layer {s.layer} ({s.module}): {sinks.sites[s.module]}" for s in written)
            raise ConfigError(
                f"locator {locator.name!r} chose a site that writes an attention sink, where an edit destroys the "
                f"model. {said}. Choose other layers{locator.remedy('sinks')}"
            )


def locate_stages(
    stages: Sequence[Stage],
    lm: LanguageModel,
    requests: Sequence[Request],
    context: Callable[[Stage], RunContext],
) -> None:
    """Find the sites of every stage, on the model as it is before any of them is written.

    Stages that locate alike, and read at the same place, share their sites: after the first one a locator would look
    for facts that are gone.

    Args:
        stages: In order.
        lm: The model before any write.
        requests: The facts to forget.
        context: Returns what a stage's locator may know of the run.
    """
    before: Stage | None = None
    for stage in stages:
        if before is not None and stage.looks_where(before):
            stage.sites = before.sites
        else:
            stage.locate(lm, requests, context(stage))
        before = stage


def names_of(stages: Sequence[Stage], group: str) -> str:
    """Return the stages' components of a group in order, neighbours of the same name said once."""
    return " then ".join(name for name, _ in groupby(stage[group].name for stage in stages))


def wanted_moments(stages: Sequence[Stage]) -> dict[frozenset[str], list[Site]]:
    """Return which sites want which moments, over all stages; sites that want alike share a sweep of the text."""
    located: dict[str, Site] = {}
    wanted: dict[str, frozenset[str]] = {}
    visits = [site.name for stage in stages for site in stage.sites]
    for stage in stages:
        trained = any(before.solves_model for before in stages[: stage.number])
        for site in stage.sites:
            moments = stage.moments(written_before=trained or visits.count(site.name) > 1)
            located[site.module] = site
            wanted[site.module] = wanted.get(site.module, frozenset()) | moments
    shared: dict[frozenset[str], list[Site]] = {}
    for module, moments in wanted.items():
        if moments:
            shared.setdefault(moments, []).append(located[module])
    return dict(sorted(shared.items(), key=lambda one: sorted(one[0])))
