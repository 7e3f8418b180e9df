"""What needs the loaded, untouched model: text that it writes, what components ask of it, the sites of each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import cast

from zu_framework.contracts import Collector, Remembered, RunContext, compute_anew
from zu_framework.engine.session import Session, Stage
from zu_framework.errors import ConfigError, DataError, in_stage
from zu_framework.evaluation.texts import held_out
from zu_framework.evaluation.untouched import Untouched
from zu_framework.models import CheckpointInfo, LanguageModel
from zu_framework.problem import ReadPlan, Request, Site
from zu_framework.registry import Chosen
from zu_framework.specs import LocatorSpec
from zu_framework.store.sharing import shared_results


def located(session: Session) -> Session:
    """Return the session with the sites of every stage, found on the model as it is before any of them is written.

    Stages that locate alike, and read at the same place, share their sites: after the first one a locator would look
    for facts that are gone.

    Args:
        session: Its model is loaded, its facts and its text are read.

    Raises:
        ConfigError: A locator cannot serve this model, finds nothing, or finds a site that writes an attention sink,
            which its registration does not allow under these options.
        DataError: The model wrote no text, where it was to.
        ModelError: A layer that a component names offers no site; nothing was read or written then.
    """
    model = CheckpointInfo.of_model(session.lm)
    for stage in session.stages:
        with in_stage(stage.number):
            for chosen in stage.working:
                chosen.check(model)
    session = _with_written_text(session)
    session = replace(session, untouched=Untouched(session.journal, session.documents))
    stages: list[Stage] = []
    with session.journal.phase("locate"):
        for stage in session.stages:
            stage = _with_collector(session, stage)
            if stages and _look_alike(stages[-1], stage):
                stages.append(replace(stage, sites=stages[-1].sites))
            else:
                stages.append(replace(stage, sites=_sites(session, stage)))
    for stage in stages:
        session.journal.record("sites", stage=stage.number, sites=[site.module for site in stage.sites])
    return replace(session, stages=tuple(stages))


def _with_written_text(session: Session) -> Session:
    """Let the model write what serves as general text, where that is the background; kept in the cache, by model."""
    background = session.background
    if background is None or "model" not in background.needs or session.documents is not None:
        return session
    texts = _written(session, background)
    if not texts:
        raise DataError(
            f"background {background.name!r} wrote no text: change its options, or choose another background.name"
        )
    limit = session.config.evaluate.documents
    documents, split = held_out(lambda: iter(texts), session.split, limit, wanted=session.measures_texts)
    return replace(session, documents=documents, split=split)


def _written(session: Session, background: Chosen) -> Sequence[str]:
    source, lm = background.load(), session.lm

    def depends_on() -> dict[str, object]:
        return {
            "source": [background.registered.plugin, background.registered.version, background.name],
            "options": asdict(background.options),
            "weights": lm.state_digest(),
            "tokenizer": lm.tokenizer_fingerprint(),
        }

    def compute() -> Remembered:
        texts = [text for text in source(background.options, lm=lm) if text.strip()]
        return Remembered({}, {"texts": texts})

    with session.journal.phase("text"):
        found = shared_results(session.journal)("text", depends_on, compute)
    return cast(Sequence[str], found.facts["texts"])


def _with_collector(session: Session, stage: Stage) -> Stage:
    """A stage with what its components may know of the run. Further stages keep their curves and plots apart."""
    artifacts = session.partial and (
        session.partial / f"stage-{stage.number + 1}" if stage.number else session.partial
    )
    assert session.untouched is not None
    context = RunContext(
        seed=session.config.seed,
        batch_size=session.config.model.batch_size,
        needs=stage.needs,
        progress=session.progress,
        documents=session.documents,
        retain=session.split.retain,
        artifacts=artifacts,
        part_failed=session.journal.part_failed,
        remember=shared_results(session.journal) if session.config.output.share_targets else compute_anew,
        sinks=session.untouched.sinks,
        text_keys=session.untouched.text_keys,
    )
    chosen = stage["collector"]
    collector: Collector = chosen.load()(chosen.options, context)

    def plan(lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        return collector.plan(lm, requests).bare()

    return replace(stage, collector=collector, context=replace(context, plan=plan))


def _look_alike(before: Stage, stage: Stage) -> bool:
    """Whether both stages have the same locator, and a collector that reads at the same place."""
    return before["locator"] == stage["locator"] and before["collector"].name == stage["collector"].name


def _sites(session: Session, stage: Stage) -> tuple[Site, ...]:
    """A stage's sites, each verified to compute `W k + b`, none of them one that writes a sink."""
    lm, locator = session.lm, stage["locator"]
    with in_stage(stage.number):
        found = locator.load()(lm, session.split.forget, locator.options, stage.context)
        sites: list[Site] = sorted(found, key=lambda site: site.layer)
        if not sites:
            raise ConfigError(
                f"locator {locator.name!r} found no site: change its options, or choose another locator.name"
            )
        _refuse_sinks(session, locator, sites)
        for site in sites:
            lm.verify(site)
    return tuple(sites)


def _refuse_sinks(session: Session, locator: Chosen, sites: Sequence[Site]) -> None:
    spec = cast(LocatorSpec, locator.spec)
    if spec.may_write_sinks and spec.may_write_sinks(locator.options):
        return
    assert session.untouched is not None
    sinks = session.untouched.sinks(session.lm)
    written = [site for site in sites if sinks.writes(site)]
    if written:
        said = "; ".join(f"layer {s.layer} ({s.module}): {sinks.sites[s.module]}" for s in written)
        raise ConfigError(
            f"locator {locator.name!r} chose a site that writes an attention sink, where an edit destroys the "
            f"model. {said}. Choose other layers{locator.remedy('sinks')}"
        )
