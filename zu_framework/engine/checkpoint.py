"""The model that a configuration names: where it lies, on which device it goes, and which edits it carries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zu_framework.config import Config
from zu_framework.contracts import Progress
from zu_framework.engine.processes import local_device
from zu_framework.errors import ConfigError, ModelError
from zu_framework.evaluation import Scorer
from zu_framework.models import Chat, CheckpointInfo, LanguageModel, check_folder, load_tokenizer
from zu_framework.registry import Plugins, architecture_finder
from zu_framework.store.ledger import Ledger


def model_path(config: Config) -> str:
    """Return `model.path`.

    Raises:
        ConfigError: It is empty.
    """
    if not config.model.path:
        raise ConfigError("model.path is empty: give a checkpoint folder or a hub id: model.path=./my-model")
    return config.model.path


def check_checkpoint(config: Config) -> CheckpointInfo:
    """Check the model's folder, its ledger and its chat template, weights unread.

    Raises:
        ModelError: It is no checkpoint that can be edited, or `evaluate.reference` is none.
        RunFolderError: Its ledger is damaged.
    """
    settings = config.model
    info = check_folder(
        model_path(config), trust_remote_code=settings.trust_remote_code, revision=settings.revision
    )
    read_ledger(settings.path)
    if settings.chat:
        tokenizer = load_tokenizer(
            settings.path, trust_remote_code=settings.trust_remote_code, revision=settings.revision
        )
        Chat.of(tokenizer, settings.system)
    check_reference(config)
    return info


def check_reference(config: Config) -> None:
    """Check the checkpoint that `evaluate.reference` names, weights unread.

    Raises:
        ModelError: It is none.
    """
    if config.evaluate.reference is not None:
        check_folder(config.evaluate.reference, trust_remote_code=config.model.trust_remote_code)


def load_model(config: Config, plugins: Plugins) -> LanguageModel:
    """Return the model of the config, its structure found by a plugin's hook or by the core's own search."""
    settings = config.model
    return LanguageModel.from_pretrained(
        model_path(config),
        dtype=settings.dtype,
        device=device_of(config),
        device_map=settings.device_map,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        chat=settings.chat,
        system=settings.system,
        find_architecture=architecture_finder(plugins),
    )


def device_of(config: Config) -> str:
    """Return the device of the config; auto is cuda where there is one.

    Raises:
        ConfigError: It is no device, or not there.
    """
    name = config.model.device
    if name == "auto":
        return local_device() if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as cause:
        raise ConfigError(f"model.device {name!r} is no device: use auto, cpu, cuda or cuda:N") from cause
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"model.device {name!r}: torch sees no CUDA device here; use model.device=cpu")
    return name


def read_ledger(path: str) -> Ledger:
    """Return the ledger of a checkpoint folder; an empty one where it has none, or is a hub id."""
    folder = Path(path)
    return Ledger.read(folder) if folder.is_dir() else Ledger()


def ledger_of(config: Config, lm: LanguageModel) -> Ledger:
    """Return the edits that the model of the config carries.

    Raises:
        ModelError: It was changed since the last of them.
    """
    ledger = read_ledger(config.model.path)
    if ledger.entries and ledger.fingerprint != lm.fingerprint():
        made_in = str(ledger.entries[-1].record.about["dtype"])
        way_out = f"load it as it is (model.dtype={made_in})"
        if made_in == str(lm.dtype).removeprefix("torch."):
            way_out = "it was changed since; to start afresh from it, remove its ledger/"
        raise ModelError(
            f"{config.model.path} carries a ledger of {len(ledger.entries)} edits, and is not the model that they "
            f"left (its fingerprint is {lm.fingerprint()[:12]}, expected {ledger.fingerprint[:12]}): {way_out}"
        )
    return ledger


def reference_scorer(config: Config, plugins: Plugins, progress: Progress) -> Scorer | None:
    """Return a scorer of `evaluate.reference`, which loads that model when it is first asked; None without one."""
    path = config.evaluate.reference
    if path is None:
        return None
    # a revision names a commit of the model's own repository, not of the reference's
    settings = replace(config, model=replace(config.model, path=path, revision=None))
    return Scorer(
        lambda: load_model(settings, plugins),
        config.model.batch_size,
        max_tokens=config.evaluate.max_tokens,
        progress=progress,
    )
