"""Where the files of a checkpoint lie: a folder, an embedded one, or what the hub's cache holds of an id."""

from __future__ import annotations

from pathlib import Path

from zu_framework.errors import ModelError
from zu_framework.models.fingerprint import Fingerprint
from zu_framework.models.places import local_path
from zu_framework.store.shards import Checkpoint

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
# of a hub id, what `apply` copies: no other copies of the weights
HUB_IGNORED = ["*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.gguf", "original/*"]


def source_folder(model: str) -> Path:
    """Find the folder of a checkpoint's files.

    Args:
        model: A folder, a hub id, or the name of an embedded checkpoint.

    Returns:
        The folder.

    Raises:
        ModelError: There is none, or its weights are not plain tensors.
    """
    folder = Path(local_path(model)).expanduser()
    if not folder.exists():
        folder = _downloaded(model)
    if not folder.is_dir():
        raise ModelError(f"{model} is a file: give the folder that holds config.json")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{model}: no config.json: this is not a checkpoint folder")
    found = next((name for name in ADAPTER_FILES if (folder / name).exists()), None)
    if found is not None:
        raise ModelError(
            f"{model} holds an adapter ({found}): merge the adapter first (merge_and_unload of peft, then "
            "save_pretrained)"
        )
    return folder


def files_fingerprint(model: str) -> Fingerprint | None:
    """Digest the files that a model was loaded from.

    Args:
        model: As `model.path` names it.

    Returns:
        Their fingerprint; None where it was not loaded from a folder of safetensors.
    """
    try:
        folder = Path(local_path(model)).expanduser()
        return Checkpoint.open(folder).fingerprint if model and folder.is_dir() else None
    except ModelError:  # made elsewhere, or kept as GGUF: the model in memory is known all the same
        return None


def _downloaded(model: str) -> Path:
    """The snapshot of a hub id, downloaded where it is not there."""
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ModelError(f"{model}: no such folder")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError  # slow to import, and not needed for a folder

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(model, ignore_patterns=HUB_IGNORED))
    # the hub raises many kinds; each means that there is no such checkpoint for us
    except Exception as cause:
        lines = str(cause).strip().splitlines() or [""]
        raise ModelError(f"{model}: no such folder, and not found on the hub: {lines[0]}") from cause
