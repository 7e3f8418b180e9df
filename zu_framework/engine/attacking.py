"""One attack, on the edited model and on each that stands beside it: computed once, every model left as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from zu_framework.config import Config
from zu_framework.contracts import AuditContext
from zu_framework.engine.attacked import Attacked
from zu_framework.engine.session import Session
from zu_framework.errors import RunFolderError
from zu_framework.evaluation import Finding, finding
from zu_framework.models import LanguageModel
from zu_framework.problem import AuditFacts, Outcome
from zu_framework.registry import Chosen
from zu_framework.store.audits import AttackStore


def attack(
    chosen: Chosen,
    session: Session,
    models: Attacked,
    facts: AuditFacts,
    lost: Sequence[bool] | None,
    store: AttackStore,
) -> list[Finding]:
    """Make one attack on every model, and judge its variants.

    Args:
        chosen: The attack.
        session: Its configuration, text and progress.
        models: The edited one, and those beside it.
        facts: What is asked.
        lost: Whether each forget fact was lost to the edit; None without an untouched model.
        store: Finds what was computed before.

    Raises:
        AuditError: The attack cannot be made on these models or facts.
    """
    edited, seconds = _outcomes(chosen, session, models, models.edited, "edited", facts, store)
    others = {
        name: _outcomes(chosen, session, models, lm, name, facts, store)[0]
        for name, lm in models.references()
    }
    return [
        finding(
            chosen.name,
            variant,
            facts.forget,
            lost,
            outcome,
            {name: found[variant] for name, found in others.items() if variant in found},
            seconds / len(edited),
        )
        for variant, outcome in edited.items()
    ]


def _outcomes(
    chosen: Chosen,
    session: Session,
    models: Attacked,
    lm: LanguageModel,
    name: str,
    facts: AuditFacts,
    store: AttackStore,
) -> tuple[Mapping[str, Outcome], float]:
    """Return what an attack gets out of one model, computed now or found from an earlier call, and its seconds."""
    key = {
        "attack": chosen.name,
        "version": chosen.registered.version,
        "options": vars(chosen.options),
        "model": name,
    }
    found = store.load(key)
    if found is not None:
        return found
    context = AuditContext(
        seed=session.config.seed,
        batch_size=session.config.model.batch_size,
        progress=lambda label, done, total: session.progress(f"{chosen.name}: {label}", done, total),
        base=models.base,
        twin=models.twin,
        sites=models.sites if name == "edited" else (),
        documents=session.documents,
    )
    session.progress(f"{chosen.name} on the {name} model", 0, 0)
    begun = time.perf_counter()
    before = lm.fingerprint()
    outcomes = dict(chosen.load()(lm, facts, chosen.options, context))
    seconds = time.perf_counter() - begun
    if lm.fingerprint() != before:
        raise RunFolderError(
            f"attack {chosen.name!r} did not leave the model as it was: its numbers are not used"
        )
    store.save(key, outcomes, seconds)
    return outcomes, seconds


def identity(models: Attacked, facts: AuditFacts, config: Config) -> dict[str, Any]:
    """Return what the numbers of an audit depend on besides an attack and its options."""
    return {
        "edited": models.edited.fingerprint(),
        "base": None if models.base is None else models.base.fingerprint(),
        "twin": None if models.twin is None else models.twin.fingerprint(),
        "seed": config.seed,
        "facts": {name: [[r.prompt, r.answer] for r in group] for name, group in facts.groups()},
    }
