"""The loop: locate, then for each pass and each site in order collect, targets, solve, write.

Nothing but `Writer` touches the model, and whatever goes wrong puts it back as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework.config import Config
from zu_framework.engine.components import Parts
from zu_framework.engine.edit import Edit, request_digest, versions
from zu_framework.engine.journal import Journal
from zu_framework.engine.plugins import Plugins
from zu_framework.engine.records import save_tensors
from zu_framework.engine.solving import solve_with
from zu_framework.engine.statistics import background_moments
from zu_framework.engine.writing import Writer
from zu_framework.errors import ConfigError, DataError
from zu_framework.models import LanguageModel
from zu_framework.types import (
    Background,
    EditProblem,
    ReadPlan,
    Representations,
    Request,
    RunContext,
    Site,
    TargetStates,
    Update,
)

Progress = Callable[[str, int, int], None]


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass
class Pipeline:
    """One edit in the making.

    documents: streams general text, afresh on each call. sites_folder: where intermediates are kept, if at all.
    """

    lm: LanguageModel
    config: Config
    parts: Parts
    plugins: Plugins
    documents: Callable[[], Iterable[str]] | None = None
    journal: Journal = field(default_factory=Journal)
    progress: Progress = no_progress
    sites_folder: Path | None = None

    def edit(self, requests: Sequence[Request]) -> Edit:
        """Forget these requests. On any exception, Ctrl-C included, the model is as it was, to the bit."""
        requests = tuple(requests)
        if not requests:
            raise DataError("there is no request to forget: the data set's forget part is empty")
        before = self.lm.fingerprint()
        with self.journal.phase("locate"):
            sites = self.locate(requests)
        backgrounds = self._backgrounds(sites)
        context = RunContext(
            seed=self.config.seed,
            batch_size=self.config.model.batch_size,
            needs=self.parts.needs,
            progress=self.progress,
            backgrounds=backgrounds,
        )
        collector = self.parts["collector"].load()(self.parts["collector"].options, context)
        with self.journal.phase("contexts"):
            plan = collector.plan(self.lm, requests)
        writer = Writer(self.lm)
        report: dict[str, Any] = {"sites": {}, "seconds": self.journal.seconds}
        earlier: dict[str, Tensor] = {}
        try:
            for indices in self._groups(len(requests)):
                self._one_pass(plan.subset(indices), sites, context, collector, writer, earlier, report)
        except BaseException:
            writer.restore()
            raise
        about = {
            "fingerprint_before": before,
            "fingerprint_after": self.lm.fingerprint(),
            "model": self.config.model.path,
            "model_type": self.lm.model_type,
            "dtype": str(self.lm.dtype).removeprefix("torch."),
            "transposed": any(self.lm.stores_transposed(site) for site in sites),
            "versions": versions(),
            "requests": len(requests),
            "request_digest": request_digest(requests),
            "solver": self.parts["solver"].spec.name,
            "seed": self.config.seed,
        }
        return Edit(self.lm, requests, report, about, writer)

    def locate(self, requests: tuple[Request, ...]) -> list[Site]:
        """The sites of this run, shallowest first, each verified to compute `W k + b`."""
        locator = self.parts["locator"]
        sites: list[Site] = list(locator.load()(self.lm, requests, locator.options))
        if not sites:
            raise ConfigError(
                f"locator {locator.spec.name!r} found no site: give layers, for example locator.layers=[3]"
            )
        sites.sort(key=lambda site: site.layer)
        for site in sites:
            self.lm.verify(site)
        self.journal.record("sites", sites=[site.module for site in sites])
        return sites

    def _backgrounds(self, sites: list[Site]) -> dict[str, Background]:
        moments = self.parts.moments
        if not moments:
            return {}
        if self.documents is None:
            listed = ", ".join(sorted(moments))
            raise ConfigError(f"statistics of general text are needed ({listed}): give `background`")
        with self.journal.phase("background"):
            return background_moments(
                self.lm,
                sites,
                moments,
                self.documents,
                max_tokens=self.parts["background"].options.max_tokens,
                batch_size=self.config.model.batch_size,
                progress=self.progress,
            )

    def _groups(self, count: int) -> list[range]:
        size = self.parts.group_size or count
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def _one_pass(
        self,
        plan: ReadPlan,
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
        with self.journal.phase("targets"):
            state = builder.prepare(self.lm, plan, sites)
        for index, site in enumerate(sites):
            with self.journal.phase("collect"):
                representations = collector.collect(self.lm, plan, site)
            with self.journal.phase("targets"):
                states = builder.at_site(state, self.lm, site, index, representations)
            weight = self.lm.weight(site)
            background = context.backgrounds.get(site.module, Background())
            problem = EditProblem(
                # the algebra reads one precision throughout; bf16 and f16 weights are exact in float32
                weight=weight if weight.dtype in (torch.float32, torch.float64) else weight.float(),
                keys=representations.keys,
                values=representations.values,
                targets=states.targets,
                sensitive=states.sensitive if "sensitive" in context.needs else None,
                background=background,
                earlier_keys=earlier.get(site.module),
                bare_keys=representations.bare_keys if "bare_keys" in context.needs else None,
            )
            with self.journal.phase("solve"):
                update = solve_with(solver.spec, solver.load(), problem, solver.options)
            self.plugins.hook.zu_site_solved(site=site, problem=problem, update=update)
            with self.journal.phase("write"):
                self._write(site, writer, problem, update, states, representations, plan, report)
            keys = representations.keys
            earlier[site.module] = (
                torch.cat([earlier[site.module], keys], 1) if site.module in earlier else keys
            )

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
        written = writer.write(site, update)
        entry = {
            "requests": len(plan.requests),
            "targets": _plain(states.report),
            "solver": _plain(update.report),
            "rounding_loss": written.rounding_loss,
            "relative_change": written.relative_change,
        }
        report["sites"].setdefault(site.module, []).append(entry)
        self.journal.record("site", site=site.module, **entry)
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
        for name in self.parts.moments & {"key_moment", "value_moment"}:
            tensors[name] = getattr(problem.background, name)
        passes = len(report["sites"][site.module])
        name = site.module if passes == 1 else f"{site.module}.pass{passes}"
        self.sites_folder.mkdir(exist_ok=True)
        save_tensors(
            self.sites_folder / f"{name}.safetensors",
            {k: v for k, v in tensors.items() if v is not None},
            {"site": site.module, "requests": [r.id or r.prompt for r in plan.requests]},
        )


def _plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as JSON can hold it."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.item() if value.ndim == 0 else value.tolist()
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    return {str(k): plain(v) for k, v in report.items()}
