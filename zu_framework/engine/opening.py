"""All that is read and checked of a run before a weight is loaded: outputs, facts, text, the model's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import cast

from zu_framework.config import load_config
from zu_framework.config.choosing import default_background
from zu_framework.contracts import Progress, no_progress
from zu_framework.data import chat_notes
from zu_framework.engine.session import ConfigSource, Session, Stage, resolve
from zu_framework.errors import ConfigError, DataError, NoSource, in_stage
from zu_framework.evaluation import read_texts
from zu_framework.evaluation.texts import Documents, held_out
from zu_framework.models import CheckpointInfo
from zu_framework.problem import DataSplit
from zu_framework.registry import Chosen, Plugins, installed_plugins
from zu_framework.specs import BackgroundSpec
from zu_framework.store.chosen_model import check_checkpoint, check_lengths


def open_session(
    config: ConfigSource,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Session:
    """Return the session of a run, all checked that can be without loading weights.

    Raises:
        ZuError: It says what to mend; nothing was written.
    """
    plugins = plugins or installed_plugins()
    session = resolve(load_config(config, overrides, plugins=plugins), plugins, progress=progress)
    session = read_inputs(session)
    checkpoint = check_checkpoint(session.config, plugins)
    check_lengths(session.config, checkpoint, session.split.forget)
    check_options(session, checkpoint)
    return replace(session, checkpoint=checkpoint)


def open_beside(session: Session, known: Session) -> None:
    """Check a session against the facts and the checkpoint that another one, which shares them, has read.

    Raises:
        ZuError: As `open_session`.
    """
    _import_all(session)
    _check_outputs(session)
    for stage in session.stages:
        check_facts(stage, known.split)
    assert known.checkpoint is not None, "the other session was not opened"
    check_options(session, known.checkpoint)


def read_inputs(session: Session) -> Session:
    """Import what was chosen, and return the session with its data and its text.

    Raises:
        ZuError: Whatever can be known of an impossible run before a weight is loaded, but for its model.
    """
    _import_all(session)
    _check_outputs(session)
    return open_text(replace(session, split=read_data(session)))


def read_data(session: Session) -> DataSplit:
    """Return the data set's split, checked against what the stages read of its facts.

    Raises:
        DataError: A record is broken, nothing is to be forgotten, or a subject is read and not there.
        ConfigError: Facts to retain are read, and there are none.
    """
    config, data = session.config, session.data
    assert data is not None
    more = {"declared": session.plugins.registry.record_fields} if data.spec.open_fields else {}
    split: DataSplit = data.load()(data.options, config.seed, **more)
    if not split.forget:
        raise DataError(f"data set {data.name!r} yields no fact to forget: raise data.forget")
    for stage in session.stages:
        check_facts(stage, split)
    return replace(split, notes=(*split.notes, *chat_notes(split.forget))) if config.model.chat else split


def check_facts(stage: Stage, split: DataSplit) -> None:
    """Check that the facts carry what a stage reads of them.

    Raises:
        ConfigError: The solver reads facts to retain, and there are none.
        DataError: No fact has a subject, where the locator reads there; one has none, where the collector does.
    """
    locator, solver, collector = stage["locator"], stage["solver"], stage["collector"]
    retains = "retain_keys" in stage.needs
    with in_stage(stage.number):
        retaining = stage.needs & {"retain_keys", "retain"}
        if retaining and not split.retain:
            raise ConfigError(
                f"solver {solver.name!r} reads facts to retain under these options, and there are none"
                f"{solver.remedy(min(retaining)) or ': give them by data.retain'}"
            )
        if "subject" in locator.needs and all(request.subject is None for request in split.forget):
            raise DataError(
                f"none of {len(split.forget)} facts to forget has a subject, which locator {locator.name!r} reads"
                f"{locator.remedy('subject')}"
            )
        if stage.solves_model or "subject" not in collector.needs:
            return
        read = (*split.forget, *split.retain) if retains else split.forget
        without = next((request for request in read if request.subject is None), None)
        if without is not None:
            raise DataError(
                f"{without.source or repr(without.prompt)}: no subject, which collector {collector.name!r} reads"
                f"{collector.remedy('subject')}"
            )


def check_options(session: Session, model: CheckpointInfo) -> None:
    """Ask each component whether it can work on a model whose weights are not loaded.

    Raises:
        ConfigError: One cannot; the message says the way out.
        ModelError: A layer that a locator names offers no site.
    """
    for stage in session.stages:
        with in_stage(stage.number):
            for chosen in stage.working:
                chosen.check(model)
    for metric in session.metrics:
        metric.check(model)


def open_text(session: Session) -> Session:
    """Return the session with its stream of background documents, and the texts that metrics read.

    These are `evaluate.text`, else the data set's held-out texts, else every tenth background document, which then
    takes no part in the moments. Where general text is read and none is given, the background that serves by default
    takes its place. What the model must write waits until it is loaded.

    Raises:
        ConfigError: General text is read, the background names no source, and none serves by default.
        DataError: A text cannot be read, or there is none.
    """
    evaluate, split = session.config.evaluate, session.split
    if evaluate.text is not None:
        texts = tuple(islice(read_texts(evaluate.text), evaluate.documents))
        if not texts:
            raise DataError(f"evaluate.text {evaluate.text!r} holds no text")
        split = replace(split, heldout_texts=texts)
    background = session.background
    if background is not None and "model" not in background.needs:
        documents = _documents(session, background)
        if documents is not None:
            documents, split = held_out(documents, split, evaluate.documents, wanted=session.measures_texts)
            return replace(session, documents=documents, split=split)
        background = None
    if background is None and (session.reads_text or (session.measures_texts and not split.heldout_texts)):
        background = default_background(session.plugins) if session.stages else None
        if background is not None:
            serves = cast(BackgroundSpec, background.spec).serves_by_default
            split = replace(split, notes=(*split.notes, serves.format(**asdict(background.options))))
    return replace(session, background=background, split=split)


def _documents(session: Session, background: Chosen) -> Documents | None:
    """The background's documents; None where it names no source, and none is read or something else serves."""
    source, options = background.load(), background.options
    try:
        first = next(iter(source(options)), None)
    except NoSource:
        if session.reads_text and default_background(session.plugins) is None:
            raise
        return None
    if first is None:
        raise DataError("the background holds no document")
    return partial(source, options)


def _import_all(session: Session) -> None:
    """Import the implementation of everything that was chosen. Raises `PluginError` where one cannot be."""
    shared = [chosen for chosen in (session.data, session.background) if chosen is not None]
    staged = [chosen for stage in session.stages for chosen in stage.chosen.values()]
    for chosen in (*shared, *staged, *session.metrics):
        chosen.load()


def _check_outputs(session: Session) -> None:
    """Check that the outputs asked for are possible.

    Raises:
        ConfigError: An adapter is asked for, and peft is missing or an update would not be low-rank.
    """
    if not session.config.output.adapter:
        return
    if find_spec("peft") is None:
        raise ConfigError("output.adapter needs peft: pip install 'zu_framework[peft]'")
    for stage in session.stages:
        solver = stage["solver"]
        why = solver.spec.full_rank_under(solver.options)
        if why:
            with in_stage(stage.number):
                raise ConfigError(
                    f"output.adapter: a LoRA adapter holds low-rank updates alone, and solver {solver.name!r} {why}; "
                    "or ask for output.model=true instead"
                )
