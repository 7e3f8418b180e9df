"""Measuring: a model before and after an edit is made in it, side by side, and what that comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

from zu_framework.engine.edit import Edit
from zu_framework.engine.session import Session
from zu_framework.evaluation import Scorer, measure_with, settle_answers
from zu_framework.evaluation.judging import Verdict, judge
from zu_framework.models import AnswerSpace
from zu_framework.problem import DataSplit, Measurement, Probe

COMPLETION_TOKENS = 12


@dataclass(frozen=True)
class Measured:
    """What was measured of one model.

    Args:
        values: Measurements by metric.
        cost: Probes, texts and prompts that were new to the scorer, tokens read and generated, seconds.
        completions: Greedy continuations of the first forget prompts.
    """

    values: Mapping[str, Measurement] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    completions: Sequence[str] = ()


@dataclass(frozen=True)
class MeasuredEdit:
    """An edit, and its model before and after it.

    Args:
        edit: In the model, unless it damaged it and `guard.on_fail` is "revert".
        before: Of the untouched model.
        after: Of the edited one.
        verdict: What both come to; None where nothing was measured.
        answers: How the answer follows each prompt; empty where one space always does.
    """

    edit: Edit
    before: Measured
    after: Measured
    verdict: Verdict | None
    answers: Sequence[AnswerSpace]


def measured_edit(session: Session, make_edit: Callable[[Session], Edit]) -> MeasuredEdit:
    """Settle how answers follow, measure, let an edit be made, measure again, and judge.

    Both sides are shown to the observers. In a process that writes no run folder nothing is measured: the first
    measures for all.

    Args:
        session: Of a run, its sites located.
        make_edit: Makes the edit in the session's model.
    """
    session, untouched = settled(session)
    before = _side(session, untouched)
    edit = make_edit(session)
    edited = _scorer(session, untouched)
    after = _side(session, edited, edit)
    verdict = None
    if session.partial is not None and session.metrics:
        verdict = _judged(session, (untouched, before), (edited, after))
    if verdict is not None and verdict.damaged and session.config.guard.on_fail == "revert":
        edit.revert()
        verdict = replace(verdict, reverted=True)
        session.journal.record("reverted", verdict=verdict.headline)
    return MeasuredEdit(edit, before, after, verdict, session.answers)


def settled(session: Session, *, split: DataSplit | None = None) -> tuple[Session, Scorer]:
    """Decide for every fact whether its answer follows after a space, once, for all processes and both sides.

    Nothing is decided where `model.answer_space` is `always`, where the model carries decisions already, or where the
    session settled them on another model before: those hold for this one too.

    Args:
        session: Its model is loaded and untouched, its facts are read.
        split: The facts, where they are others than the session's.

    Returns:
        The session, whose model carries what was decided; and a scorer of that model, which remembers what was scored
        on the way.
    """
    lm, answers = session.lm, session.answers
    scorer = _scorer(session)
    if session.config.model.answer_space == "always" or lm.answer_space is not None:
        return session, scorer
    if answers:
        session = replace(session, model=replace(lm, answer_space={one.prompt: one.space for one in answers}))
        return session, _scorer(session)
    with session.journal.phase("settle"):
        if session.processes.first:
            answers = tuple(settle_answers(scorer, split or session.split))
            lm = scorer.lm
        table = session.processes.tell(None if lm.answer_space is None else dict(lm.answer_space))
    return replace(session, answers=answers, model=replace(session.lm, answer_space=table)), scorer


def measured(session: Session, scorer: Scorer) -> Measured:
    """Return what the session's metrics say of the scorer's model."""
    functions: dict[str, Callable[..., Any]] = {
        metric.name: partial(metric.load(), options=metric.options)
        if fields(metric.spec.options)
        else metric.load()
        for metric in session.metrics
    }
    with session.journal.phase("measure"):
        values = measure_with(scorer, session.split, functions)
        cost = asdict(scorer.cost)
        session.journal.record("measured", cost=cost)
    return Measured(values, cost)


def _side(session: Session, scorer: Scorer, edit: Edit | None = None) -> Measured:
    """Measure the session's model before an edit, or after it, and show it to the observers."""
    if session.partial is None:
        return Measured()
    found = measured(session, scorer)
    with session.journal.phase("measure"):
        shown = [request.prompt for request in session.split.forget[: session.config.evaluate.completions]]
        completions = scorer.completions(shown, COMPLETION_TOKENS)
    if session.observers:
        with session.journal.phase("observe"):
            if edit is None:
                sites = {site.name: site for stage in session.stages for site in stage.sites}
                session.observers.before(scorer, session.split, list(sites.values()))
            else:
                session.observers.after(scorer, edit)
    return replace(found, completions=completions)


def _scorer(session: Session, untouched: Scorer | None = None) -> Scorer:
    """A scorer of the session's model as it is now, by the config's sizes."""
    return Scorer(
        session.lm,
        session.config.model.batch_size,
        batch_tokens=session.config.model.batch_tokens,
        max_tokens=session.config.evaluate.max_tokens,
        progress=session.progress,
        reference=session.reference,
        untouched=untouched,
    )


def _judged(session: Session, *sides: tuple[Scorer, Measured]) -> Verdict:
    """Compare both sides of a run with the limits of its metrics."""
    probes = [Probe(request.prompt, request.answer) for request in session.split.forget]
    (was, before), (now, after) = ((scorer.score(probes), found) for scorer, found in sides)
    answered = [(p.prompt, old.exact, new.exact) for p, old, new in zip(probes, was, now, strict=True)]
    specs = [metric.spec for metric in session.metrics]
    return judge(before.values, after.values, specs, session.config.guard, answered)
