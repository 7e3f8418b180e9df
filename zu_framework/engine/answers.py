"""How answers follow their prompts: settled once on the untouched model, for all processes and both sides."""

from __future__ import annotations

from dataclasses import replace

from zu_framework.engine.session import Session
from zu_framework.evaluation import Scorer, settle_answers
from zu_framework.problem import DataSplit


def settle(session: Session, *, split: DataSplit | None = None) -> Scorer:
    """Decide for every fact whether its answer follows after a space; the session's model carries that from now on.

    Nothing is decided where `model.answer_space` is `always`, where the model carries decisions already, or where the
    session settled them on another model before: those hold for this one too.

    Args:
        session: Its model is loaded and untouched, its facts are read.
        split: The facts, where they are others than the session's.

    Returns:
        A scorer of the untouched model, which remembers what was scored on the way.
    """
    lm = session.lm
    scorer = session.scorer(lm)
    if session.config.model.answer_space == "always" or lm.answer_space is not None:
        return scorer
    if session.answers:
        session.model = replace(lm, answer_space={one.prompt: one.space for one in session.answers})
        return session.scorer(session.lm)
    with session.journal.phase("settle"):
        if session.processes.first:
            session.answers = tuple(settle_answers(scorer, split or session.split))
            lm = scorer.lm
        table = session.processes.tell(None if lm.answer_space is None else dict(lm.answer_space))
    session.model = replace(session.lm, answer_space=table)
    return scorer
