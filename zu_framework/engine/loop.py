"""The loop: for each stage, pass and site in order collect, build targets, solve, guard, write.

Nothing but `Writer` touches the model, and whatever goes wrong puts it back as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from zu_framework.config import Component
from zu_framework.contracts import Collector, RunContext
from zu_framework.distribution import Division
from zu_framework.engine.edit import Edit
from zu_framework.engine.guard import Guard
from zu_framework.engine.session import Session, Stage
from zu_framework.engine.solving import SiteSolver, Solved, solve_model
from zu_framework.engine.statistics import background_moments
from zu_framework.engine.writing import Writer
from zu_framework.errors import DataError
from zu_framework.problem import Background, ReadPlan, Request, Site, Update, other_facts
from zu_framework.problem.reports import plain
from zu_framework.store.about import about_edit
from zu_framework.store.factors import Factors

RETAINED = (
    "{count} prompts of facts to retain were solved for here: where `retained` counts the same facts, it says how well "
    "they were held, not what the edit does to others"
)


def make_edit(session: Session) -> Edit:
    """Forget the session's facts at the sites of its stages, which are located.

    Returns:
        The edit, in the model.

    Raises:
        ZuError: The model is then as it was, to the bit; as after any other exception, Ctrl-C included.
    """
    requests = session.split.forget
    if not requests:
        raise DataError("there is no request to forget: the data set's forget part is empty")
    lm, division = session.lm, session.division
    writer = Writer(lm)
    division.agree("model", writer.before.value)
    made = _Making(session, requests, division, writer, _backgrounds(session), _guard(session, requests))
    try:
        for stage in session.stages:
            if stage.solves_model:
                made.whole_model(stage)
            else:
                made.site_by_site(stage)
        division.agree("edited model", writer.after.value)
    except BaseException:
        writer.restore()
        raise
    journal, config = session.journal, session.config
    report = {"sites": made.report, "seconds": journal.seconds, "saved_seconds": journal.saved}
    sites = [edit.site for edit in writer.edits.values()]
    about = {
        "fingerprint_before": writer.before.value,
        "fingerprint_after": writer.after.value,
        **about_edit(lm, sites, requests, config.model.path, config.seed),
        # neighbours of one name are said once
        "solver": " then ".join(name for name, _ in groupby(one["solver"].name for one in session.stages)),
    }
    return Edit(lm, requests, report, about, writer, ledger=session.ledger)


def _backgrounds(session: Session) -> dict[str, Background]:
    """Return the moments of general text at all stages' sites, by module, in the model as it is before any of them."""
    found: dict[str, Background] = {}
    # where no background is named, the one that serves by default is read by the defaults
    read = session.config.components.get("background", Component("background", "", {}))
    for moments, sites in _wanted_moments(session.stages).items():
        # a stage that wants moments has been refused without a background
        assert session.documents is not None and session.untouched is not None
        with session.journal.phase("background"):
            found |= background_moments(
                session.lm,
                sites,
                moments,
                session.documents,
                max_tokens=read.max_tokens,
                batch_tokens=session.config.model.batch_tokens,
                progress=session.progress,
                sinks=None if read.sinks == "keep" else session.untouched.sinks(session.lm),
            )
    return found


def _wanted_moments(stages: Sequence[Stage]) -> dict[frozenset[str], list[Site]]:
    """Return which sites want which moments, over all stages; sites that want alike share a sweep of the text.

    The value moment changes with every write: where a site is written before it is solved for the last time, or the
    model is trained before, it comes from the key moment.
    """
    located: dict[str, Site] = {}
    wanted: dict[str, frozenset[str]] = {}
    visits = [site.name for stage in stages for site in stage.sites]
    for stage in stages:
        trained = any(before.solves_model for before in stages[: stage.number])
        for site in stage.sites:
            moments = stage.moments
            written_before = trained or stage.group_size or visits.count(site.name) > 1
            if written_before and "value_moment" in moments:
                moments = (moments - {"value_moment"}) | {"key_moment"}
            located[site.module] = site
            wanted[site.module] = wanted.get(site.module, frozenset()) | moments
    shared: dict[frozenset[str], list[Site]] = {}
    for module, moments in wanted.items():
        if moments:
            shared.setdefault(moments, []).append(located[module])
    return dict(sorted(shared.items(), key=lambda one: sorted(one[0])))


def _guard(session: Session, requests: Sequence[Request]) -> Guard:
    """Return a guard that knows which other facts to look at, and what the components of the run say can be changed."""
    limits = session.config.guard
    others = None
    if limits.facts is not None:
        with session.journal.phase("contexts"):
            asked = other_facts(requests, session.split.retain)
            others = _collector(session.stages[0]).plan(session.lm, asked).bare()
    said = [
        chosen.spec.remedies.get("damage", "") for one in session.stages for chosen in one.chosen.values()
    ]
    ways_out = [way for way in dict.fromkeys(said) if way]
    return Guard(session.lm, limits, others, ways_out=ways_out, batch_size=session.config.model.batch_size)


def _collector(stage: Stage) -> Collector:
    assert stage.collector is not None, "the stage is not located"
    return stage.collector


@dataclass
class _Making:
    """One edit in the making.

    Args:
        session: What the run works with.
        requests: The facts to forget.
        division: Divides the work, where others share it.
        writer: Writes to the model.
        backgrounds: Moments of general text, by module.
        guard: Asked before every write.
        factors: What solvers compute once for a site and find again.
        report: Per site, an entry a pass.
    """

    session: Session
    requests: tuple[Request, ...]
    division: Division
    writer: Writer
    backgrounds: Mapping[str, Background]
    guard: Guard
    factors: Factors = field(default_factory=Factors)
    report: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def whole_model(self, stage: Stage) -> None:
        """Let a model solver find its updates, then write them."""
        session, guard = self.session, self.guard
        context = self._context(stage)
        with session.journal.phase("solve"):
            found = []
            if self.division.solves:
                found = solve_model(stage["solver"], session.lm, self.requests, stage.sites, context)
            updates = self.division.everywhere(found)
        sites = [site for site, _ in updates]
        with session.journal.phase("guard"):
            guard.read(sites)
            if guard.limits.text is not None and session.untouched is not None:
                seen = [site for site in sites if guard.sees(site)]
                guard.text = session.untouched.text_keys(session.lm, seen)
        for site, update in updates:
            self._write(site, update, self.requests)

    def site_by_site(self, stage: Stage) -> None:
        """Collect, build targets, solve and write: each group of requests at each site in order."""
        session, collector = self.session, _collector(stage)
        with session.journal.phase("contexts"):
            plan = collector.plan(session.lm, self.requests)
            self.division.agree_on(plan)
            retained = None
            if "retain_keys" in stage.needs:
                asked = collector.retained(self.requests, session.split.retain)
                retained = collector.plan(session.lm, asked).bare()
        earlier = dict(session.earlier)  # not those of the stage before: they are of the same facts
        size = stage.group_size or len(self.requests)
        for start in range(0, len(self.requests), size):
            part = plan.subset(range(start, min(start + size, len(self.requests))))
            self._one_pass(stage, part, retained, earlier)

    def _context(self, stage: Stage) -> RunContext:
        """What target builder and solver may know of the run."""
        return replace(stage.context, backgrounds=self.backgrounds, requests=tuple(self.requests))

    def _one_pass(
        self, stage: Stage, plan: ReadPlan, retained: ReadPlan | None, earlier: dict[str, Tensor]
    ) -> None:
        """Forget the requests of one plan at all sites of a stage."""
        lm, phase, collector = self.session.lm, self.session.journal.phase, _collector(stage)
        context = self._context(stage)
        builder = stage["target"].load()(stage["target"].options, context)
        columns = self.division.columns(lm, plan, collector, builder, stage["target"].spec.independent)
        solver = SiteSolver(stage["solver"], self.division, self.factors)
        with phase("targets"):
            columns.prepare(stage.sites)
        notes = list(plan.notes)
        if retained is not None:
            notes.append(RETAINED.format(count=len(retained.requests)))
        for index, site in enumerate(stage.sites):
            with phase("collect"):
                read = columns.collect(site)
                retain_keys = None if retained is None else collector.collect(lm, retained, site).bare_keys
            with phase("targets"):
                states = columns.at_site(site, index)
            with phase("solve"):
                solved = solver.solve(
                    site,
                    lm.weight(site),
                    read,
                    states,
                    self._background(site),
                    earlier_keys=earlier.get(site.name),
                    retain_keys=retain_keys,
                    written=site.name in self.writer.edits,
                )
            self.session.observers.site_solved(site=site, problem=solved.problem, update=solved.update)
            self._write(site, solved.update, plan.requests, solved, () if index else notes)
            held = earlier.get(site.name)
            earlier[site.name] = read.keys if held is None else torch.cat([held.to(read.keys), read.keys], 1)

    def _background(self, site: Site) -> Background:
        """Return the moments of general text at a site; empty where no stage wants any there."""
        return self.backgrounds.get(site.module, Background())

    def _write(
        self,
        site: Site,
        update: Update,
        requests: Sequence[Request],
        solved: Solved | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Ask the guard, write the update, and keep what is reported of it."""
        session = self.session
        problem = None if solved is None else solved.problem
        with session.journal.phase("guard"):
            predicted = self.guard.check(site, update, self._background(site))
        before = problem.weight.detach().clone() if problem is not None and session.intermediates else None
        with session.journal.phase("write"):
            written = self.writer.write(site, update, None if problem is None else problem.keys)
        targets = {} if solved is None else dict(solved.states.report)
        if notes:
            targets["notes"] = [*targets.get("notes", ()), *notes]
        entry = plain(
            {
                "requests": len(requests),
                "targets": targets,
                "solver": update.report,
                **({"guard": predicted} if predicted else {}),
                "rounding_loss": written.rounding_loss,
                "relative_change": written.relative_change,
            }
        )
        self.report.setdefault(site.name, []).append(entry)
        session.journal.record("site", site=site.name, **entry)
        if solved is not None and before is not None:
            weights = {"weight_before": before, "weight_after": session.lm.weight(site)}
            asked = [request.id or request.prompt for request in requests]
            session.intermediates.keep(
                site.module, len(self.report[site.name]), _tensors(solved) | weights, asked
            )


def _tensors(solved: Solved) -> dict[str, Tensor | None]:
    """Return what a site was solved from, by name."""
    return {
        "keys": solved.read.keys,
        "values": solved.read.values,
        "targets": solved.states.targets,
        "sensitive": solved.problem.sensitive,
        **solved.states.states,
        "key_moment": solved.problem.background.key_moment,
        "value_moment": solved.problem.background.value_moment,
    }
