"""One attack, on the edited model and on each that stands beside it: computed once, every model left as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from zu_framework.contracts import AuditContext, Remembered
from zu_framework.engine.attacked import Attacked
from zu_framework.engine.session import Session
from zu_framework.errors import RunFolderError
from zu_framework.evaluation import Finding, finding
from zu_framework.problem import AuditFacts, Outcome
from zu_framework.registry import Chosen
from zu_framework.store.audits import AttackStore, plain_outcomes, read_outcomes
from zu_framework.store.digests import fingerprint
from zu_framework.store.sharing import shared_results

DOCUMENTS = 1000  # of general text: what they are decides what an attack that reads it finds


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
    edited, seconds = _outcomes(chosen, session, models, "edited", facts, store)
    # of a reference, what it answers of the forget facts is all that counts
    asked = replace(facts, asked=("forget",))
    others = {
        name: _outcomes(chosen, session, models, name, asked, store)[0] for name, _ in models.references()
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
    chosen: Chosen, session: Session, models: Attacked, name: str, facts: AuditFacts, store: AttackStore
) -> tuple[Mapping[str, Outcome], float]:
    """Return what an attack gets out of one model, and its seconds: computed now, or found from an earlier call.

    What it gets out of a reference is kept in the cache too, its texts left out, where the config has runs share what
    follows from the facts: it serves every edit of that model.
    """
    how = {
        "attack": chosen.name,
        "version": chosen.registered.version,
        "options": vars(chosen.options),
        "asked": list(facts.asked),
    }
    found = store.load({**how, "model": name})
    if found is not None:
        return found

    def depends_on() -> dict[str, Any]:
        known = {part: digest for part, digest in store.identity.items() if part != "edited"}
        return {"of": name, **known, **json.loads(json.dumps(how, default=str))}

    def attacked() -> tuple[dict[str, Outcome], float]:
        return _attacked(chosen, session, models, name, facts, store.identity[name])

    def compute() -> Remembered:
        outcomes, seconds = attacked()
        return Remembered({}, {"outcomes": plain_outcomes(outcomes, texts=False), "seconds": seconds})

    if name == "edited" or not session.config.output.share_targets:
        outcomes, seconds = attacked()
    else:
        known = shared_results(session.journal)("audits", depends_on, compute).facts
        outcomes, seconds = read_outcomes(known["outcomes"]), float(known["seconds"])
    store.save({**how, "model": name}, outcomes, seconds)
    return outcomes, seconds


def _attacked(
    chosen: Chosen, session: Session, models: Attacked, name: str, facts: AuditFacts, digest: str
) -> tuple[dict[str, Outcome], float]:
    """Make an attack on one model, whose digest is known.

    Raises:
        RunFolderError: The attack left the model changed.
    """
    lm = models.edited if name == "edited" else dict(models.references())[name]
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
    outcomes = dict(chosen.load()(lm, facts, chosen.options, context))
    seconds = time.perf_counter() - begun
    if lm.state_digest() != digest:
        raise RunFolderError(
            f"attack {chosen.name!r} did not leave the model as it was: its numbers are not used"
        )
    return outcomes, seconds


def identity(models: Attacked, facts: AuditFacts, session: Session) -> dict[str, Any]:
    """Return what the numbers of an audit depend on besides an attack and its options."""
    references = dict(models.references())
    texts = [] if session.documents is None else list(islice(session.documents(), DOCUMENTS))
    return {
        "edited": models.edited.state_digest(),
        **{name: lm.state_digest() for name, lm in references.items()},
        "tokenizer": models.edited.tokenizer_fingerprint(),
        "answers": repr(models.edited.answer_space),
        "seed": session.config.seed,
        "facts": fingerprint({"facts": json.loads(json.dumps(asdict(facts), default=str))}),
        "documents": fingerprint({"texts": texts}),
    }
