"""Where the files of a checkpoint lie: a folder, an embedded one, or what the hub's cache holds of an id."""

from __future__ import annotations

from pathlib import Path

from zu_framework.errors import ModelError
from zu_framework.models.fingerprint import Fingerprint
from zu_framework.models.places import find_source, local_path
from zu_framework.store.shards import Checkpoint

KEY = "MODEL"  # as the commands call it
# of a hub id, what `apply` copies: no other copies of the weights
HUB_IGNORED = ["*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.gguf", "original/*"]


def source_folder(model: str, *, download: bool = True) -> Path:
    """Find the folder of a checkpoint's files.

    Args:
        model: A folder, a hub id, or the name of an embedded checkpoint.
        download: Whether a hub id that is not on this machine is fetched.

    Returns:
        The folder.

    Raises:
        ModelError: There is none, it holds an adapter, or its weights are kept as GGUF.
    """
    source = find_source(model, key=KEY, ask_hub=download)
    if source.gguf is not None:
        raise ModelError(
            f"{model} is kept as GGUF, which `zu apply` makes a safetensors checkpoint of: give that"
        )
    return Path(source.path) if source.is_local else _downloaded(source.path, download)


def is_gguf(model: str) -> bool:
    """Whether a model is kept as GGUF.

    Args:
        model: As `model.path` names it.

    Returns:
        True for a GGUF file, and for a folder with one and without safetensors.

    Raises:
        ModelError: There is no such model, or it holds an adapter.
    """
    return find_source(model, key=KEY).gguf is not None


def files_fingerprint(model: str) -> Fingerprint | None:
    """Digest the files that a model was loaded from.

    Args:
        model: As `model.path` names it.

    Returns:
        Their fingerprint; None where it was not loaded from a folder of safetensors.
    """
    try:
        folder = Path(local_path(model))
        return Checkpoint.open(folder).fingerprint if model and folder.is_dir() else None
    except ModelError:  # made elsewhere, or kept as GGUF: the model in memory is known all the same
        return None


def _downloaded(model: str, download: bool) -> Path:
    """The snapshot of a hub id, downloaded where it is not there and may be."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError  # slow to import, and not needed for a folder

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError) as cause:  # ValueError: a name that the hub allows to nobody
        if not download:
            raise ModelError(f"{KEY} {model!r} is not on this machine: give its folder") from cause
    try:
        return Path(snapshot_download(model, ignore_patterns=HUB_IGNORED))
    except Exception as cause:  # its HTTP client changed between releases, and with it what it raises
        lines = str(cause).strip().splitlines() or [""]
        raise ModelError(f"{KEY} {model!r} cannot be downloaded: {lines[0]}") from cause
