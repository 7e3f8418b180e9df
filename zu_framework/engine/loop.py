"""The loop: locate, then for each stage, pass and site in order collect, targets, solve, write.

Nothing but `Writer` touches the model, and whatever goes wrong puts it back as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework.config import Config
from zu_framework.contracts import RunContext, compute_anew
from zu_framework.engine.division import Division, plain, told_updates
from zu_framework.engine.edit import Edit, request_digest, versions
from zu_framework.engine.processes import Processes, current
from zu_framework.engine.solving import solve_model, solve_with
from zu_framework.engine.stage import Parts, require_retain
from zu_framework.engine.statistics import background_moments
from zu_framework.engine.writing import SiteEdit, Writer
from zu_framework.errors import ConfigError, DataError, in_stage
from zu_framework.models import LanguageModel
from zu_framework.problem import (
    Background,
    EditProblem,
    ReadPlan,
    Representations,
    Request,
    Site,
    TargetStates,
    Update,
)
from zu_framework.registry.manager import Plugins
from zu_framework.store.digests import fingerprint
from zu_framework.store.factors import Factors
from zu_framework.store.journal import Journal
from zu_framework.store.records import save_tensors
from zu_framework.store.sharing import shared_results

Progress = Callable[[str, int, int], None]
PROTECTED = (
    "{count} prompts of facts to keep are protected here: where `retained` counts the same facts, it says how well "
    "they were held, not what the edit does to others"
)


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass
class Pipeline:
    """One edit in the making.

    documents: streams general text, afresh on each call. sites_folder: where intermediates are kept, if at all;
    artifacts: where components keep curves and plots. retain: facts to keep. earlier: keys (i, m) of edits that the
    model carries already, by site. processes: those that make this edit together; the first solves, and all write.
    """

    lm: LanguageModel
    config: Config
    parts: Parts
    plugins: Plugins
    documents: Callable[[], Iterable[str]] | None = None
    journal: Journal = field(default_factory=Journal)
    progress: Progress = no_progress
    sites_folder: Path | None = None
    artifacts: Path | None = None
    retain: tuple[Request, ...] = ()
    earlier: Mapping[str, Tensor] = field(default_factory=dict)
    processes: Processes = field(default_factory=current)
    factors: Factors = field(default_factory=Factors)

    def edit(self, requests: Sequence[Request], sites: Sequence[list[Site]] | None = None) -> Edit:
        """Forget these requests, at each stage's sites, located already or else now.

        On any exception, Ctrl-C included, the model is as it was, to the bit.
        """
        requests = tuple(requests)
        if not requests:
            raise DataError("there is no request to forget: the data set's forget part is empty")
        require_retain(self.parts, self.retain)
        before = self.lm.fingerprint()
        self.processes.agree("model", before)
        if sites is None:
            with self.journal.phase("locate"):
                sites = self.locate(requests)
        backgrounds = self._backgrounds(sites)
        writer = Writer(self.lm)
        report: dict[str, Any] = {
            "sites": {},
            "seconds": self.journal.seconds,
            "saved_seconds": self.journal.saved,
        }
        try:
            for stage, own in zip(self._stages(), sites, strict=True):
                context = stage._context(backgrounds)
                if stage.parts.solves_model:
                    stage._whole_model(requests, own, context, writer, report)
                else:
                    stage._site_by_site(requests, own, context, writer, report)
            after = self.lm.fingerprint()
            self.processes.agree("edited model", after)
        except BaseException:
            writer.restore()
            raise
        about = {
            "fingerprint_before": before,
            "fingerprint_after": after,
            "model": self.config.model.path,
            "model_type": self.lm.model_type,
            "dtype": str(self.lm.dtype).removeprefix("torch."),
            "transposed": any(self.lm.stores_transposed(edit.site) for edit in writer.edits.values()),
            "versions": versions(),
            "requests": len(requests),
            "request_digest": request_digest(requests),
            "solver": self.parts.names("solver"),
            "seed": self.config.seed,
        }
        return Edit(self.lm, requests, report, about, writer)

    def locate(self, requests: tuple[Request, ...]) -> list[list[Site]]:
        """The sites of each stage, shallowest first, each verified to compute `W k + b`.

        All are found on the model as it is: after the first stage a locator would look for facts that are gone.
        """
        found: list[list[Site]] = []
        for number, stage in enumerate(self._stages()):
            if number and stage.parts["locator"] == self.parts.stages[number - 1]["locator"]:
                found.append(found[-1])
                continue
            with in_stage(number):
                found.append(stage._located(requests))
        return found

    def _stages(self) -> list[Pipeline]:
        """A pipeline a stage. Further ones keep their curves and plots apart."""
        further = [
            replace(self, parts=parts, artifacts=self.artifacts and self.artifacts / f"stage-{number}")
            for number, parts in enumerate(self.parts.then, 2)
        ]
        return [self, *further]

    def _located(self, requests: tuple[Request, ...]) -> list[Site]:
        """The sites of one stage."""
        locator = self.parts["locator"]
        sites: list[Site] = list(locator.load()(self.lm, requests, locator.options, self._context({})))
        if not sites:
            raise ConfigError(
                f"locator {locator.spec.name!r} found no site: give layers, for example locator.layers=[3]"
            )
        sites.sort(key=lambda site: site.layer)
        for site in sites:
            self.lm.verify(site)
        self.journal.record("sites", sites=[site.module for site in sites])
        return sites

    def _context(self, backgrounds: Mapping[str, Background]) -> RunContext:
        return RunContext(
            seed=self.config.seed,
            batch_size=self.config.model.batch_size,
            needs=self.parts.needs,
            progress=self.progress,
            backgrounds=backgrounds,
            documents=self.documents,
            retain=self.retain,
            artifacts=self.artifacts,
            remember=shared_results(self.journal) if self.config.output.share_targets else compute_anew,
        )

    def _whole_model(
        self,
        requests: tuple[Request, ...],
        sites: list[Site],
        context: RunContext,
        writer: Writer,
        report: dict[str, Any],
    ) -> None:
        """Let a model solver find its updates, then write them."""
        solver = self.parts["solver"]
        with self.journal.phase("solve"):
            answered = (
                solve_model(solver.spec, solver.load(), self.lm, requests, sites, solver.options, context)
                if self.processes.first
                else []
            )
            answered = told_updates(self.processes, answered, self.lm.device)
        for site, update in answered:
            with self.journal.phase("write"):
                self._record(site, writer.write(site, update), update, len(requests), {}, report)

    def _site_by_site(
        self,
        requests: tuple[Request, ...],
        sites: list[Site],
        context: RunContext,
        writer: Writer,
        report: dict[str, Any],
    ) -> None:
        """Collect, build targets, solve and write: each group of requests at each site in order."""
        collector = self.parts["collector"].load()(self.parts["collector"].options, context)
        with self.journal.phase("contexts"):
            plan = collector.plan(self.lm, requests)
            asked = [[[p.text, p.read_end] for p in prompts] for prompts in plan.prompts]
            self.processes.agree("set of contexts", fingerprint({"prompts": asked}))
            kept = self._retain_plan(collector, requests)
        earlier = dict(self.earlier)  # not those of the stage before: they are of the same facts
        for indices in self._groups(len(requests)):
            self._one_pass(plan.subset(indices), kept, sites, context, collector, writer, earlier, report)

    def _retain_plan(self, collector: Any, requests: tuple[Request, ...]) -> ReadPlan | None:
        """The bare prompts of the facts to keep, and of what the collector adds, where the solver protects them."""
        if "retain_keys" not in self.parts.needs:
            return None
        plan: ReadPlan = collector.plan(self.lm, collector.retained(requests, self.retain))
        return replace(plan, prompts=tuple(row[:1] for row in plan.prompts), weights=(1.0,))

    def _backgrounds(self, sites: Sequence[list[Site]]) -> dict[str, Background]:
        """The moments of all stages' sites, in the model as it is before any of them: one sweep where they want alike.

        A site that is written more than once, or that a model solver may write before, gets its value moment from the
        key moment.
        """
        located: dict[str, Site] = {}
        wanted: dict[str, frozenset[str]] = {}
        for number, (parts, own) in enumerate(zip(self.parts.stages, sites, strict=True)):
            trained = any(before.solves_model for before in self.parts.stages[:number])
            for site in own:
                visits = sum(site.name == other.name for stage in sites for other in stage)
                moments = parts.moments_of(again=bool(parts.group_size) or trained or visits > 1)
                located[site.module] = site
                wanted[site.module] = wanted.get(site.module, frozenset()) | moments
        found: dict[str, Background] = {}
        for moments in sorted(set(wanted.values()), key=sorted):
            if moments:
                found |= self._swept([located[m] for m in wanted if wanted[m] == moments], moments)
        return found

    def _swept(self, sites: list[Site], moments: frozenset[str]) -> dict[str, Background]:
        """Moments of general text at sites."""
        if self.documents is None:
            listed = ", ".join(sorted(moments))
            raise ConfigError(f"statistics of general text are needed ({listed}): give `background`")
        with self.journal.phase("background"):
            return background_moments(
                self.lm,
                sites,
                moments,
                self.documents,
                max_tokens=self.config.components["background"].max_tokens,
                batch_tokens=self.config.model.batch_tokens,
                progress=self.progress,
            )

    def _groups(self, count: int) -> list[range]:
        size = self.parts.group_size or count
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def _one_pass(
        self,
        plan: ReadPlan,
        kept: ReadPlan | None,
        sites: list[Site],
        context: RunContext,
        collector: Any,
        writer: Writer,
        earlier: dict[str, Tensor],
        report: dict[str, Any],
    ) -> None:
        """Forget the requests of one plan at all sites."""
        builder = self.parts["target"].load()(self.parts["target"].options, context)
        solver = self.parts["solver"]
        independent = self.parts["target"].spec.independent
        divided = Division(self.processes, self.lm, plan, collector, builder, independent)
        with self.journal.phase("targets"):
            divided.prepare(sites)
        for index, site in enumerate(sites):
            with self.journal.phase("collect"):
                representations = divided.collect(site)
                kept_keys = None if kept is None else collector.collect(self.lm, kept, site).bare_keys
            with self.journal.phase("targets"):
                states = divided.at_site(site, index)
            weight = self.lm.weight(site)
            background = context.backgrounds.get(site.module, Background()).only(self.parts.needs)
            problem = EditProblem(
                # the algebra reads one precision throughout; bf16 and f16 weights are exact in float32
                weight=weight if weight.dtype in (torch.float32, torch.float64) else weight.float(),
                keys=representations.keys.to(
                    weight.device
                ),  # of a spread model, sites lie on several devices
                values=representations.values.to(weight.device),
                targets=states.targets.to(weight.device),
                sensitive=_there(states.sensitive, weight) if "sensitive" in context.needs else None,
                background=background,
                earlier_keys=_there(_like(earlier.get(site.name), representations.keys), weight),
                bare_keys=_there(representations.bare_keys, weight) if "bare_keys" in context.needs else None,
                retain_keys=_there(kept_keys, weight),
            )
            with self.journal.phase("solve"):
                found = []
                if self.processes.first:
                    factor = self.factors.of(
                        solver.registered,
                        solver.options,
                        background,
                        problem.weight,
                        written=site.name in writer.edits,
                    )
                    found.append((site, solve_with(solver.registered, problem, solver.options, factor)))
                [(_, update)] = told_updates(self.processes, found, weight.device)
            if self.processes.first:
                self.plugins.hook.zu_site_solved(site=site, problem=problem, update=update)
            if kept is not None and not index:
                states = replace(
                    states, report=_with_note(states.report, PROTECTED.format(count=len(kept.requests)))
                )
            with self.journal.phase("write"):
                self._write(site, writer, problem, update, states, representations, plan, report)
            keys = representations.keys
            held = _like(earlier.get(site.name), keys)
            earlier[site.name] = keys if held is None else torch.cat([held, keys], 1)

    def _write(
        self,
        site: Site,
        writer: Writer,
        problem: EditProblem,
        update: Update,
        states: TargetStates,
        representations: Representations,
        plan: ReadPlan,
        report: dict[str, Any],
    ) -> None:
        before = problem.weight.detach().clone() if self.sites_folder else None
        written = writer.write(site, update, problem.keys)
        self._record(site, written, update, len(plan.requests), states.report, report)
        if self.sites_folder is None or before is None:
            return
        tensors: dict[str, Tensor | None] = {
            "keys": representations.keys,
            "values": representations.values,
            "targets": states.targets,
            "sensitive": problem.sensitive,
            "weight_before": before,
            "weight_after": self.lm.weight(site),
            **states.states,
        }
        for name in problem.background.given & {"key_moment", "value_moment"}:
            tensors[name] = getattr(problem.background, name)
        passes = len(report["sites"][site.module])
        name = site.module if passes == 1 else f"{site.module}.pass{passes}"
        self.sites_folder.mkdir(exist_ok=True)
        save_tensors(
            self.sites_folder / f"{name}.safetensors",
            {k: v for k, v in tensors.items() if v is not None},
            {"site": site.module, "requests": [r.id or r.prompt for r in plan.requests]},
        )

    def _record(
        self,
        site: Site,
        written: SiteEdit,
        update: Update,
        requests: int,
        targets: Mapping[str, Any],
        report: dict[str, Any],
    ) -> None:
        entry = {
            "requests": requests,
            "targets": plain(targets),
            "solver": plain(update.report),
            "rounding_loss": written.rounding_loss,
            "relative_change": written.relative_change,
        }
        report["sites"].setdefault(site.name, []).append(entry)
        self.journal.record("site", site=site.name, **entry)


def _with_note(report: Mapping[str, Any], note: str) -> dict[str, Any]:
    return {**report, "notes": [*report.get("notes", ()), note]}


def _there(tensor: Tensor | None, weight: Tensor) -> Tensor | None:
    """A tensor on the weight's device."""
    return None if tensor is None else tensor.to(weight.device)


def _like(keys: Tensor | None, wanted: Tensor) -> Tensor | None:
    """Earlier keys, read from a file perhaps, where and as the present ones are."""
    return None if keys is None else keys.to(wanted)
