"""The front doors that edit: `run` (a configuration to a run folder) and `unlearn` (a model in memory)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from zu_framework.config import STAGE_GROUPS, Config, load_config
from zu_framework.contracts import Progress, no_progress
from zu_framework.data import split_from
from zu_framework.data.facts import Given
from zu_framework.engine.answers import settle
from zu_framework.engine.edit import Edit
from zu_framework.engine.loop import make_edit
from zu_framework.engine.measuring import Measured, judged, measured_side
from zu_framework.engine.opening import finish, open_run
from zu_framework.engine.results import Completion, RunResult
from zu_framework.engine.saving import save_run
from zu_framework.engine.session import Session, resolve
from zu_framework.engine.text import open_text, write_text
from zu_framework.engine.verdict import Verdict
from zu_framework.errors import ConfigError, ModelError
from zu_framework.models import CheckpointInfo, LanguageModel, borrowed
from zu_framework.registry import Plugins, architecture_finder, installed_plugins
from zu_framework.store.ledger import Ledger

__all__ = ["RunResult", "run", "unlearn"]


def run(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> RunResult:
    """Forget what a configuration says, and leave a run folder: load, measure, edit, measure, save.

    Started by torchrun, several processes make one run: the first measures, solves and writes, all divide the text and
    the requests, and all hold the edited model at the end; measurements are in the first one's result alone.

    Args:
        config: A ready-made name, a YAML file, or a mapping.
        overrides: Such as `["data.forget=8", "seed=1"]`.
        plugins: Who offers components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        What was measured, the edit (still in the model, with its exact undo), and what could not be saved.

    Raises:
        ZuError: It says what to mend; no run folder is left behind then.
    """
    with open_run(config, overrides, plugins, progress) as session:
        before = measured_side(session, untouched=settle(session))
        edit = make_edit(session)
        after = measured_side(session, edit, untouched=before.scorer)
        verdict = judged(session, before, after)
        if verdict is not None and verdict.damaged and session.config.guard.on_fail == "revert":
            edit.revert()
            verdict = replace(verdict, reverted=True)
            session.journal.record("reverted", verdict=verdict.headline)
        result = save_run(session, _result(session, edit, before, after, verdict))
    moved = [session.moved] if session.moved else []
    result = replace(result, folder=session.folder, notes=(*result.notes, *moved))
    finish(session, result)
    return replace(result, notes=tuple(dict.fromkeys((*result.notes, *session.observers.notes))))


def _result(
    session: Session, edit: Edit, before: Measured, after: Measured, verdict: Verdict | None
) -> RunResult:
    said = zip(session.split.forget, before.completions, after.completions, strict=False)
    return RunResult(
        session.folder,
        session.config,
        edit,
        before.values,
        after.values,
        [Completion(request.prompt, request.answer, old, new) for request, old, new in said],
        cost={"before": before.cost, "after": after.cost} if before.cost else {},
        verdict=verdict,
        notes=session.split.notes,
        answers=session.answers,
    )


def unlearn(
    model: PreTrainedModel | LanguageModel,
    tokenizer: Any,
    requests: Given,
    config: str | Path | Mapping[str, Any] | Config = "zerounlearn-local",
    overrides: Sequence[str] = (),
    *,
    retain: Given = (),
    earlier: Sequence[Edit] = (),
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Edit:
    """Forget requests in a model that is in memory; `edit.revert()` takes it back, bit for bit.

    The groups model (but for `answer_space`), data, evaluate and output of the config are not read.

    Args:
        model: A transformers model, or one that is wrapped already. Training mode is given back, also after an error.
        tokenizer: Its fast tokenizer; not read of a wrapped model.
        requests: The facts to forget: `Request`s or mappings, as a file of facts has them; or the path of such a file.
        config: A ready-made name, a YAML file, or a mapping.
        overrides: Such as `["locator.layers=[9,10]", "background.path=wiki.txt"]`.
        retain: Facts to retain, likewise, for solvers that solve for them or train on them.
        earlier: Edits that the model carries, oldest first, whose keys a solver may retain. Reverted ones are passed
            over, the others go into the ledger that `edit.save` writes.
        plugins: Who offers components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        The edit, in the model; its `notes` say what to know of how the facts were read. As a context manager it
        reverts when the block ends.

    Raises:
        ZuError: It says what to mend; the model is then as it was. `ModelError` where an edit of `earlier` was made on
            another model.
    """
    plugins = plugins or installed_plugins()
    config = load_config(config, overrides, plugins=plugins)
    config = replace(config, components={g: c for g, c in config.components.items() if g == "background"})
    session = resolve(config, plugins, STAGE_GROUPS)
    session.report_to(progress)
    split = session.split = split_from(requests, retain, declared=plugins.registry.record_fields)
    for stage in session.stages:
        stage.check_facts(split.forget, split.retain)
    with borrowed(model.model if isinstance(model, LanguageModel) else model) as plain:
        lm = model
        if not isinstance(lm, LanguageModel):
            lm = LanguageModel.wrap(plain, tokenizer, architecture_finder(plugins)(plain))
        session.model = lm
        carried = tuple(edit for edit in earlier if not edit.reverted)
        session.earlier = _keys_of(carried, lm)
        session.ledger = carried[0].ledger if carried else Ledger()
        _check_in_memory(session)
        settle(session)
        session.locate()
        return replace(make_edit(session), earlier=carried, notes=session.split.notes)


def _check_in_memory(session: Session) -> None:
    """Ask the locators about the model and find the background's text; one error says all that is missing."""
    said = []
    info = CheckpointInfo.of(session.lm.model.config)
    for stage in session.stages:
        try:
            stage.check_model(info)
        except ConfigError as cause:
            said.append(str(cause))
    try:
        open_text(session)
    except ConfigError as cause:
        said.append(str(cause))
    if said:
        raise ConfigError("; and ".join(dict.fromkeys(said)))
    write_text(session)


def _keys_of(carried: Sequence[Edit], lm: LanguageModel) -> dict[str, Tensor]:
    """Return the keys (i, m) that earlier edits were solved for, by site."""
    keys: dict[str, list[Tensor]] = {}
    for edit in carried:
        if edit.lm.model is not lm.model:
            raise ModelError(
                "an edit in `earlier` was made on another model: give those that this model carries"
            )
        for name, tensor in edit.keys.items():
            keys.setdefault(name, []).append(tensor)
    return {name: torch.cat(tensors, 1) for name, tensors in keys.items()}
