"""The model that a configuration names: checked, loaded, and which edits it carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from zu_framework.config import Config
from zu_framework.errors import ConfigError
from zu_framework.models import Chat, CheckpointInfo, LanguageModel, check_folder, load_tokenizer
from zu_framework.models.devices import device_named
from zu_framework.models.loading import checked_device_map
from zu_framework.models.positions import check_facts_fit
from zu_framework.problem import Request
from zu_framework.registry import Plugins, architecture_finder, describes_models
from zu_framework.store.checkpoints import check_ledger
from zu_framework.store.ledger import Ledger
from zu_framework.store.private import PrivatePart
from zu_framework.store.shards import Checkpoint


def model_path(config: Config) -> str:
    """Return `model.path`.

    Raises:
        ConfigError: It is empty.
    """
    if not config.model.path:
        raise ConfigError("model.path is empty: give a checkpoint folder or a hub id: model.path=./my-model")
    return config.model.path


def check_checkpoint(config: Config, plugins: Plugins) -> CheckpointInfo:
    """Check the model's folder, its ledger and its chat template, weights unread.

    Where a plugin may describe the model's structure, which layers offer no site is not known before it is loaded.

    Raises:
        ModelError: It is no checkpoint that can be edited, or `evaluate.reference` is none.
        RunFolderError: Its ledger is damaged.
    """
    settings = config.model
    info = check_folder(
        model_path(config),
        trust_remote_code=settings.trust_remote_code,
        revision=settings.revision,
        dtype=settings.dtype,
    )
    device_named(config.model.device)
    if settings.device_map is not None:
        checked_device_map(settings.device_map)
    read_ledger(settings.path)
    if settings.chat:
        tokenizer = load_tokenizer(
            settings.path, trust_remote_code=settings.trust_remote_code, revision=settings.revision
        )
        Chat.of(tokenizer, settings.system)
    check_reference(config)
    return replace(info, refused={}) if describes_models(plugins) else info


def check_lengths(config: Config, checkpoint: CheckpointInfo, requests: Iterable[Request]) -> None:
    """Check that the model takes the facts; its tokenizer is loaded where some are long.

    Raises:
        DataError: One has more tokens than the model has positions.
    """
    # no tokenizer makes more tokens of a text than it has bytes
    long = [r for r in requests if len(f"{r.prompt} {r.answer}".encode()) > checkpoint.positions]
    if long:
        settings = config.model
        tokenizer = load_tokenizer(
            settings.path, trust_remote_code=settings.trust_remote_code, revision=settings.revision
        )
        check_facts_fit(tokenizer, long, checkpoint.positions)


def check_reference(config: Config) -> None:
    """Check the checkpoint that `evaluate.reference` names, weights unread.

    Raises:
        ModelError: It is none.
    """
    if config.evaluate.reference is not None:
        check_folder(
            config.evaluate.reference,
            trust_remote_code=config.model.trust_remote_code,
            key="evaluate.reference",
        )


def load_other(path: str, config: Config, plugins: Plugins, *, key: str) -> LanguageModel:
    """Load another model than the config's, by the same settings; arguments and errors as `load_model`."""
    # a revision names a commit of the model's own repository, not of another's
    return load_model(
        replace(config, model=replace(config.model, path=path, revision=None)), plugins, key=key
    )


def load_model(config: Config, plugins: Plugins, *, key: str = "model.path") -> LanguageModel:
    """Return the model of the config, its structure found by a plugin's hook or by the core's own search.

    Args:
        config: `model.path` says where it lies.
        plugins: Who may describe its structure.
        key: What its path was given by, for messages.

    Raises:
        ConfigError: No path, or no such device.
        ModelError: It cannot be loaded, or could not be edited.
    """
    settings = config.model
    return LanguageModel.from_pretrained(
        model_path(config),
        dtype=settings.dtype,
        device=device_named(config.model.device),
        device_map=settings.device_map,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        chat=settings.chat,
        system=settings.system,
        find_architecture=architecture_finder(plugins),
        key=key,
    )


def read_ledger(path: str) -> Ledger:
    """Return the ledger of a checkpoint folder; an empty one where it has none, or is a hub id."""
    folder = Path(path)
    return Ledger.read(folder) if folder.is_dir() else Ledger()


def carried_edits(config: Config) -> tuple[Ledger, Mapping[str, Tensor]]:
    """Return the edits that the model of the config carries, and their keys (i, m) by site.

    Raises:
        ModelError: It was changed since the last of them.
        RunFolderError: The ledger is damaged, or the factors of an edit are missing.
    """
    ledger = read_ledger(config.model.path)
    if not ledger.entries:
        return ledger, {}
    check_ledger(Checkpoint.open(Path(config.model.path)), ledger)
    beside = (Path(config.output.folder), Path(config.model.path))
    return ledger, PrivatePart.beside(*beside, given=config.ledger.private).earlier_keys(ledger)
