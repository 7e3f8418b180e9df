"""Measuring a model: what the metrics say, what that cost, and a few completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from zu_framework.engine.edit import Edit
from zu_framework.engine.session import Session
from zu_framework.engine.verdict import Verdict, judge
from zu_framework.evaluation import Scorer, measure_with
from zu_framework.problem import Measurement, Probe

COMPLETION_TOKENS = 12


@dataclass(frozen=True)
class Measured:
    """What was measured of one model.

    Args:
        values: Measurements by metric.
        cost: Probes, texts and prompts that were new to the scorer, tokens read and generated, seconds.
        completions: Greedy continuations of the first forget prompts.
        scorer: Who measured; what it was asked for stays known to it.
    """

    values: Mapping[str, Measurement] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    completions: Sequence[str] = ()
    scorer: Scorer | None = None


def measured(session: Session, scorer: Scorer) -> Measured:
    """Return what the session's metrics say of the scorer's model."""
    with session.journal.phase("measure"):
        values = measure_with(scorer, session.split, session.metric_functions)
        cost = asdict(scorer.cost)
        session.journal.record("measured", cost=cost)
    return Measured(values, cost)


def measured_side(session: Session, edit: Edit | None = None, *, untouched: Scorer | None = None) -> Measured:
    """Measure the session's model before an edit, or after it, and show it to the observers.

    Args:
        session: Of a run, its sites located.
        edit: None before.
        untouched: A scorer of the model before the edit, with what it knows already.

    Returns:
        Nothing in a process that writes no run folder: the first measures for all.
    """
    if session.partial is None:
        return Measured()
    scorer = (
        (untouched or session.scorer(session.lm)) if edit is None else session.scorer(session.lm, untouched)
    )
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
    return Measured(found.values, found.cost, completions, scorer)


def judged(session: Session, before: Measured, after: Measured) -> Verdict | None:
    """Compare both sides of a run with the limits of its metrics; None where nothing was measured."""
    if before.scorer is None or after.scorer is None or not session.metrics:
        return None
    probes = [Probe(request.prompt, request.answer) for request in session.split.forget]
    was, now = (side.score(probes) for side in (before.scorer, after.scorer))
    answered = [(p.prompt, old.exact, new.exact) for p, old, new in zip(probes, was, now, strict=True)]
    specs = [metric.spec for metric in session.metrics]
    return judge(before.values, after.values, specs, session.config.guard, answered)
