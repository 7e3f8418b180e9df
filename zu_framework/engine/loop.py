"""The loop: for each stage, pass and site in order collect, build targets, solve, guard, write.

Nothing but `Writer` touches the model, and whatever goes wrong puts it back as it was, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from zu_framework.config import Component
from zu_framework.contracts import Collector, RunContext
from zu_framework.engine.division import Division
from zu_framework.engine.edit import Edit, about_edit
from zu_framework.engine.guard import Guard
from zu_framework.engine.problems import Solved, bare, problem_at, with_note
from zu_framework.engine.results import plain
from zu_framework.engine.session import Session
from zu_framework.engine.solving import solve_model, solve_with
from zu_framework.engine.stage import Stage, names_of, wanted_moments
from zu_framework.engine.statistics import background_moments
from zu_framework.engine.writing import Writer
from zu_framework.errors import DataError
from zu_framework.problem import Background, EditProblem, ReadPlan, Request, Site, Update, other_facts
from zu_framework.registry import Chosen
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
    journal = session.journal
    report = {"sites": made.report, "seconds": journal.seconds, "saved_seconds": journal.saved}
    about = about_edit(writer, requests, session.config.model.path, session.config.seed)
    about["solver"] = names_of(session.stages, "solver")
    return Edit(lm, requests, report, about, writer, ledger=session.ledger)


def _backgrounds(session: Session) -> dict[str, Background]:
    """Return the moments of general text at all stages' sites, by module, in the model as it is before any of them."""
    found: dict[str, Background] = {}
    # where no background is named, the one that serves by default is read by the defaults
    read = session.config.components.get("background", Component("background", "", {}))
    for moments, sites in wanted_moments(session.stages).items():
        # a stage that wants moments has been refused without a background
        assert session.documents is not None
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


def _guard(session: Session, requests: Sequence[Request]) -> Guard:
    """Return a guard that knows which other facts to look at, and what the components of the run say can be changed."""
    limits = session.config.guard
    stage = session.stages[0]
    others = None
    if limits.facts is not None:
        with session.journal.phase("contexts"):
            asked = other_facts(requests, session.split.retain)
            others = stage.bare_plan(session.context(stage), session.lm, asked)
    said = [
        chosen.spec.remedies.get("damage", "") for one in session.stages for chosen in one.chosen.values()
    ]
    ways_out = [way for way in dict.fromkeys(said) if way]
    return Guard(session.lm, limits, others, ways_out=ways_out, batch_size=session.config.model.batch_size)


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
        session, solver = self.session, stage["solver"]
        context = session.context(stage, self.backgrounds)
        with session.journal.phase("solve"):
            solved = partial(solve_model, solver.spec, solver.load(), session.lm, self.requests, stage.sites)
            updates = self.division.updates(lambda: solved(solver.options, context))
        guard, sites = self.guard, [site for site, _ in updates]
        with session.journal.phase("guard"):
            guard.read(sites)
            if guard.limits.text is not None:
                seen = [site for site in sites if guard.sees(site)]
                guard.text = session.untouched.text_keys(session.lm, seen)
        for site, update in updates:
            self._write(site, update, self.requests)

    def site_by_site(self, stage: Stage) -> None:
        """Collect, build targets, solve and write: each group of requests at each site in order."""
        session = self.session
        context = session.context(stage, self.backgrounds)
        collector = stage.collector(context)
        with session.journal.phase("contexts"):
            plan = collector.plan(session.lm, self.requests)
            self.division.agree_on(plan)
            retained = None
            if "retain_keys" in stage.needs:
                asked = collector.retained(self.requests, session.split.retain)
                retained = bare(collector.plan(session.lm, asked))
        earlier = dict(session.earlier)  # not those of the stage before: they are of the same facts
        size = stage.group_size or len(self.requests)
        for start in range(0, len(self.requests), size):
            part = plan.subset(range(start, min(start + size, len(self.requests))))
            self._one_pass(stage, context, collector, part, retained, earlier)

    def _one_pass(
        self,
        stage: Stage,
        context: RunContext,
        collector: Collector,
        plan: ReadPlan,
        retained: ReadPlan | None,
        earlier: dict[str, Tensor],
    ) -> None:
        """Forget the requests of one plan at all sites of a stage."""
        lm, phase = self.session.lm, self.session.journal.phase
        builder = stage["target"].load()(stage["target"].options, context)
        columns = self.division.columns(lm, plan, collector, builder, stage["target"].spec.independent)
        with phase("targets"):
            columns.prepare(stage.sites)
        for index, site in enumerate(stage.sites):
            with phase("collect"):
                read = columns.collect(site)
                retain_keys = None if retained is None else collector.collect(lm, retained, site).bare_keys
            with phase("targets"):
                states = columns.at_site(site, index)
            problem = problem_at(
                lm.weight(site),
                read,
                states,
                self.background(site).only(stage.needs),
                stage.needs,
                earlier.get(site.name),
                retain_keys,
            )
            with phase("solve"):
                [(_, update)] = self.division.updates(partial(self._solve, stage["solver"], site, problem))
            self.session.observers.site_solved(site=site, problem=problem, update=update)
            for note in () if index else plan.notes:
                states = with_note(states, note)
            if retained is not None and not index:
                states = with_note(states, RETAINED.format(count=len(retained.requests)))
            self._write(site, update, plan.requests, Solved(problem, read, states))
            held = earlier.get(site.name)
            earlier[site.name] = read.keys if held is None else torch.cat([held.to(read.keys), read.keys], 1)

    def background(self, site: Site) -> Background:
        """Return the moments of general text at a site; empty where no stage wants any there."""
        return self.backgrounds.get(site.module, Background())

    def _solve(self, solver: Chosen, site: Site, problem: EditProblem) -> list[tuple[Site, Update]]:
        written = site.name in self.writer.edits
        factor = self.factors.of(
            solver.registered, solver.options, problem.background, problem.weight, written=written
        )
        return [(site, solve_with(solver.registered, problem, solver.options, factor))]

    def _write(
        self, site: Site, update: Update, requests: Sequence[Request], solved: Solved | None = None
    ) -> None:
        """Ask the guard, write the update, and keep what is reported of it."""
        session = self.session
        problem = None if solved is None else solved.problem
        with session.journal.phase("guard"):
            predicted = self.guard.check(site, update, self.background(site))
        before = problem.weight.detach().clone() if problem is not None and session.intermediates else None
        with session.journal.phase("write"):
            written = self.writer.write(site, update, None if problem is None else problem.keys)
        entry = plain(
            {
                "requests": len(requests),
                "targets": {} if solved is None else solved.states.report,
                "solver": update.report,
                **({"guard": predicted} if predicted else {}),
                "rounding_loss": written.rounding_loss,
                "relative_change": written.relative_change,
            }
        )
        self.report.setdefault(site.name, []).append(entry)
        session.journal.record("site", site=site.name, **entry)
        if solved is not None and before is not None:
            tensors = solved.tensors(before, session.lm.weight(site))
            asked = [request.id or request.prompt for request in requests]
            session.intermediates.keep(site.module, len(self.report[site.name]), tensors, asked)
