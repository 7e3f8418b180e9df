"""Editing a model that is in memory: facts in, an edit out, nothing on disk."""

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
from zu_framework.engine.edit import Edit
from zu_framework.engine.locating import located
from zu_framework.engine.loop import make_edit
from zu_framework.engine.measuring import settled
from zu_framework.engine.opening import check_facts, check_options, open_text
from zu_framework.engine.session import Session, resolve
from zu_framework.errors import ConfigError, ModelError
from zu_framework.models import CheckpointInfo, LanguageModel, borrowed, quick_products
from zu_framework.registry import Plugins, architecture_finder, installed_plugins
from zu_framework.store.ledger import Ledger


@quick_products()
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
    split = split_from(requests, retain, declared=plugins.registry.record_fields)
    session = replace(resolve(config, plugins, STAGE_GROUPS, progress=progress), split=split)
    for stage in session.stages:
        check_facts(stage, split)
    with borrowed(model.model if isinstance(model, LanguageModel) else model) as plain:
        lm = model
        if not isinstance(lm, LanguageModel):
            lm = LanguageModel.wrap(plain, tokenizer, architecture_finder(plugins)(plain))
        carried = tuple(edit for edit in earlier if not edit.reverted)
        ledger = carried[0].ledger if carried else Ledger()
        session = replace(session, model=lm, earlier=_keys_of(carried, lm), ledger=ledger)
        session, _ = settled(_with_text(session))
        session = located(session)
        return replace(make_edit(session), earlier=carried, notes=session.split.notes)


def _with_text(session: Session) -> Session:
    """Ask the locators about the model and find the background's text; one error says all that is missing."""
    said = []
    try:
        check_options(session, CheckpointInfo.of_model(session.lm))
    except ConfigError as cause:
        said.append(str(cause))
    try:
        session = open_text(session)
    except ConfigError as cause:
        said.append(str(cause))
    if said:
        raise ConfigError("; and ".join(dict.fromkeys(said)))
    return session


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
