"""`zu audit`: every attack on a run's edit, or on any model, with references beside each number; nothing is edited."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zu_framework.config import (
    Config,
    lay_over,
    options_from,
    overridden,
    read_layer,
    ready_made,
    typed_config,
)
from zu_framework.contracts import Progress, no_progress
from zu_framework.engine.attacked import Attacked, models_of_checkpoint, models_of_run
from zu_framework.engine.attacking import attack, identity
from zu_framework.engine.measuring import settled
from zu_framework.engine.opening import read_inputs
from zu_framework.engine.session import Session, resolve
from zu_framework.errors import AuditError, ConfigError, DataError, ExitCode
from zu_framework.evaluation import Finding, Scorer, control_facts, verdict
from zu_framework.models import LanguageModel, quick_products
from zu_framework.problem import AuditFacts, DataSplit, Probe, Request
from zu_framework.problem.reports import finite, plain_measurements
from zu_framework.registry import Chosen
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.specs import AuditSpec
from zu_framework.store.audits import AttackStore, write_audit
from zu_framework.store.run_edit import is_run
from zu_framework.store.run_folder import RunPlace, run_folder

FOLDER = "audit"  # inside a run folder


@dataclass(frozen=True)
class AuditReport:
    """A finished audit.

    Args:
        folder: Where it lies.
        config: What was audited, and how.
        findings: A judged variant each, in the order of the attacks.
        known: Forget facts that the untouched model answers, of those asked; None without an untouched model.
        lost: Of these, what the edited model no longer answers.
        asked: Forget facts that were asked.
        notes: Attacks that could not be made, and why.
        verdict: One sentence.
        seconds: In all.
    """

    folder: Path
    config: Config
    findings: Sequence[Finding]
    known: int | None
    lost: int | None
    asked: int
    notes: Sequence[str] = ()
    verdict: str = ""
    seconds: float = 0.0

    @property
    def exit_code(self) -> ExitCode:
        """0, or 4 where an attack recovers more than `audit.limit` above chance."""
        held = all(one.holds(self.config.audit.limit) for one in self.findings)
        return ExitCode.DONE if held else ExitCode.AUDIT_LIMIT


def audits() -> dict[str, Path]:
    """Return the ready-made audits, by name."""
    return ready_made("audits")


@quick_products()
def audit(
    target: str | Path,
    preset: str | Mapping[str, Any] = "quick",
    overrides: Sequence[str] = (),
    *,
    base: str | None = None,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> AuditReport:
    """Attack an edited model in every chosen way, and report what comes back.

    Each attack is made on the edited model, on the untouched one and on a retrained twin, where there are such, with
    the same facts and seed; facts to retain and facts that nobody knows are asked beside the forgotten ones. Attacks
    that were made before, on the same models, facts and options, are not made again.

    Args:
        target: A run folder, which knows base, facts and what to retain; or a model, with a data set in `overrides`.
        preset: A ready-made audit (`quick`, `full`), a YAML file or a mapping with the group `audit`.
        overrides: Such as `["audit.attacks=[relearn]", "audit.options.relearn.steps=80", "evaluate.reference=DIR"]`.
        base: The untouched model; a run folder's own by default.
        plugins: Who offers attacks and components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        What was found. It lies in `audit/` of the run folder, or in a folder of its own.

    Raises:
        ZuError: It says what to mend; every model is as it was.
    """
    plugins = plugins or installed_plugins()
    begun = time.perf_counter()
    run = Path(target) if is_run(Path(target)) else None
    config = _config(target, run, preset, overrides, plugins)
    session = resolve(config, plugins, ("data",), progress=progress)
    attacks = _attacks(config, plugins)
    session = read_inputs(session)
    facts = _facts(session)
    with _place(run, config) as place:
        models = (
            models_of_run(run, config, base, plugins) if run else models_of_checkpoint(config, base, plugins)
        )
        models = _settled(session, models, facts)
        known = None if models.base is None else _answered(models.base, facts.forget, config)
        after = _answered(models.edited, facts.forget, config)
        lost = None if known is None else [a and not b for a, b in zip(known, after, strict=True)]
        found: list[Finding] = []
        notes: list[str] = list(session.split.notes)
        store = AttackStore(place.partial, identity(models, facts, session))
        with session.journal.logged(store.log, again=True):  # which names what lies in the cache
            for chosen in attacks:
                try:
                    found += attack(chosen, session, models, facts, lost, store)
                except AuditError as cause:
                    notes.append(f"{chosen.name}: {cause}")
        report = AuditReport(
            folder=place.final,
            config=config,
            findings=found,
            known=None if known is None else sum(known),
            lost=None if lost is None else sum(lost),
            asked=len(facts.forget),
            notes=notes,
            verdict=verdict(found, config.audit.limit),
            seconds=time.perf_counter() - begun,
        )
        write_audit(place.partial, audit_json(report))
    moved = [place.note] if place.note else []
    return replace(report, folder=place.final, notes=[*report.notes, *moved])


def audit_json(report: AuditReport) -> dict[str, Any]:
    """Return an audit as JSON holds it."""
    listed = []
    for one in report.findings:
        measured = {"recovered": one.recovered, "answered": one.answered}
        listed.append(
            {
                "attack": one.attack,
                "variant": one.variant,
                "holds": one.holds(report.config.audit.limit),
                **plain_measurements({name: m for name, m in measured.items() if m is not None}),
                "references": plain_measurements(one.references),
                "chance": one.chance,
                "leaks": list(one.leaks),
                "seconds": one.seconds,
                "curve": {name: list(values) for name, values in one.curve.items()},
                "report": finite(dict(one.report)),
            }
        )
    return {
        "verdict": report.verdict,
        "limit": report.config.audit.limit,
        "attacks": list(report.config.audit.attacks),
        "model": report.config.model.path,
        "asked": report.asked,
        "known": report.known,
        "lost": report.lost,
        "findings": listed,
        "notes": list(report.notes),
        "seconds": report.seconds,
    }


def _config(
    target: str | Path,
    run: Path | None,
    preset: str | Mapping[str, Any],
    overrides: Sequence[str],
    plugins: Plugins,
) -> Config:
    """Return the run's config, or one on a model, with the preset's attacks and the overrides laid over it."""
    _, how = read_layer(preset, audits())
    extra = sorted(set(how.tree) - {"audit"})
    if extra:
        raise ConfigError(
            f"{how.origins.get(extra[0], 'audit')}: an audit has the group `audit` alone, not {extra[0]!r}"
        )
    if run is not None:
        name, what = read_layer(run / "config.yaml", {})
        laid = lay_over(what, how)
    else:
        if any(given.partition("=")[0].strip() in ("model", "model.path") for given in overrides):
            raise ConfigError("zu audit takes the model as its first argument, not as model.path")
        if not any(given.partition("=")[0].strip() in ("data", "data.name") for given in overrides):
            raise ConfigError(
                f"{target} is no run folder (it holds no edit); of a model, give the facts too: data.name=facts "
                "data.path=facts.jsonl"
            )
        name, what = read_layer({"model": {"path": str(target)}}, {})
        name, laid = f"audit-{Path(target).name}", lay_over(what, how)
    return typed_config(name, overridden(laid, overrides), plugins=plugins)


def _attacks(config: Config, plugins: Plugins) -> list[Chosen]:
    """Return the attacks with their options typed.

    Raises:
        ConfigError: None is named, or an option is wrong.
        UnknownName: An attack that no plugin offers.
    """
    if not config.audit.attacks:
        names = ", ".join(plugins.registry.names(AuditSpec.kind))
        raise ConfigError(f"audit.attacks is empty: name at least one of {names}")
    for name in config.audit.options:
        plugins.registry.get(AuditSpec.kind, name)
    chosen = []
    for name in config.audit.attacks:
        registered = plugins.registry.get(AuditSpec.kind, name)
        given = config.audit.options.get(name) or {}
        where = f"audit.options.{name}"
        if not isinstance(given, Mapping):
            raise ConfigError(f"{where} is a mapping of options, got {given!r}")
        options = options_from(registered.spec, given, where=where, origins=config.origins)
        chosen.append(Chosen(registered, options))
    return chosen


def _facts(session: Session) -> AuditFacts:
    """Return the facts that are asked: the first to forget, some to retain, and invented ones."""
    settings, split = session.config.audit, session.split
    forget = split.forget[: settings.forget]
    if not forget:
        raise DataError("the data set yields no fact to ask")
    step = max(1, len(split.retain) // settings.retain) if settings.retain else 1
    places = range(0, len(split.retain), step)[: settings.retain]
    retain = tuple(split.retain[at] for at in places)
    spare = tuple(request for at, request in enumerate(split.retain) if at not in places)
    control = control_facts(forget, split.retain, session.config.seed)
    return AuditFacts(forget, retain, control, spare)


def _settled(session: Session, models: Attacked, facts: AuditFacts) -> Attacked:
    """Return the models, each told how answers follow their prompts: as the untouched one would write them."""
    asked = DataSplit((*facts.forget, *facts.control), facts.retain)
    session, _ = settled(replace(session, model=models.base or models.edited), split=asked)
    space = session.lm.answer_space
    edited, base, twin = (
        None if lm is None else replace(lm, answer_space=space)
        for lm in (models.edited, models.base, models.twin)
    )
    assert edited is not None
    return Attacked(edited, base, twin, models.sites)


def _answered(lm: LanguageModel, requests: Sequence[Request], config: Config) -> list[bool]:
    scores = Scorer(lm, config.model.batch_size).score([Probe(r.prompt, r.answer) for r in requests])
    return [score.exact for score in scores]


@contextmanager
def _place(run: Path | None, config: Config) -> Iterator[RunPlace]:
    """Yield where the audit is written, and what the folder will be called."""
    if run is not None:
        yield RunPlace(run / FOLDER, run / FOLDER)
        return
    with run_folder(config) as place:
        yield place
