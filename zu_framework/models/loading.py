"""Checkpoints from and to disk: safetensors only, no remote code unless asked for, errors that say the way out."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from zu_framework.errors import ModelError
from zu_framework.files import whole_folder

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


# checkpoints that the package brings along, by the name that stands for them in a config: a run's config then says
# the same on every machine
EMBEDDED = {"zu:demo": "demo/model", "zu:demo-twin": "demo/twin"}


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself without its weights."""

    model_type: str
    num_layers: int
    hidden_size: int

    @classmethod
    def of(cls, config: Any) -> CheckpointInfo:
        """Return what a transformers config says."""
        text = config.get_text_config()
        return cls(str(config.model_type), int(text.num_hidden_layers), int(text.hidden_size))


def check_folder(
    path: str, *, trust_remote_code: bool = False, revision: str | None = None
) -> CheckpointInfo:
    """Config, tokenizer and weight files of a checkpoint, weights unread. Raises `ModelError`."""
    path = local_path(path)
    config = _config(path, trust_remote_code, revision)
    folder = Path(path)
    if folder.is_dir():
        _check_weights(folder)
        _check_tokenizer(folder)
    return CheckpointInfo.of(config)


def load_checkpoint(
    path: str,
    *,
    dtype: str,
    device: str,
    revision: str | None,
    trust_remote_code: bool,
    device_map: Any = None,
) -> tuple[Any, Any]:
    """Model and fast tokenizer. dtype: auto (the checkpoint's own) or a key of `DTYPES`.

    device_map: as accelerate knows it; the model is then spread over devices. Raises `ModelError`, also where a part
    of it was offloaded: an edit is written to a weight in place, which must therefore be in memory.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise ModelError(f"model.dtype {dtype!r}: use auto, {', '.join(DTYPES)}")
    path = local_path(path)
    check_folder(path, trust_remote_code=trust_remote_code, revision=revision)
    tokenizer = load_tokenizer(path, trust_remote_code=trust_remote_code, revision=revision)
    loader: Any = AutoModelForCausalLM
    spread = {} if device_map is None else {"device_map": _device_map(device_map)}
    try:
        with _without_bars():
            model, report = loader.from_pretrained(
                path,
                dtype="auto" if dtype == "auto" else DTYPES[dtype],
                revision=revision,
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
                **spread,
            )
    except Exception as cause:  # as above: a checkpoint that transformers refuses is the user's to mend
        raise ModelError(f"{path}: its weights cannot be loaded: {_brief(cause)}") from cause
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise ModelError(
            f"{path}: the safetensors lack {len(missing)} tensors of the model, {missing[0]!r} first"
        )
    if not spread:
        return model.to(device), tokenizer
    away = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if away:
        raise ModelError(
            f"model.device_map: {away[0]!r} and {len(away) - 1} other parameters do not fit on the devices and were "
            "offloaded, where they cannot be edited: give more devices, or load half precision (model.dtype=bfloat16)"
        )
    return model, tokenizer


def _device_map(given: Any) -> Any:
    """The map, checked as far as it can be without a model."""
    if importlib.util.find_spec("accelerate") is None:
        raise ModelError(
            "model.device_map needs the package accelerate: pip install 'zu_framework[accelerate]', or use model.device"
        )
    named = ("auto", "balanced", "balanced_low_0", "sequential")
    if isinstance(given, Mapping):
        return dict(given)
    if given not in named:
        raise ModelError(
            f"model.device_map {given!r}: use {', '.join(named)}, or map module names to devices"
        )
    return given


def load_tokenizer(path: str, *, trust_remote_code: bool = False, revision: str | None = None) -> Any:
    """The tokenizer of a checkpoint. Raises `ModelError`."""
    try:
        return AutoTokenizer.from_pretrained(
            local_path(path), revision=revision, trust_remote_code=trust_remote_code
        )
    except (
        Exception
    ) as cause:  # transformers raises many kinds; each means that this tokenizer cannot be used
        raise ModelError(f"{path}: its tokenizer cannot be loaded: {_brief(cause)}") from cause


def local_path(path: str) -> str:
    """The folder of an embedded checkpoint (`zu:demo`); any other path or hub id as it is."""
    if path.startswith("zu:") and path not in EMBEDDED:
        raise ModelError(f"model.path {path!r}: the embedded checkpoints are {', '.join(EMBEDDED)}")
    return str(Path(__file__).parents[1] / EMBEDDED[path]) if path in EMBEDDED else path


def save_checkpoint(
    model: Any, tokenizer: Any, folder: Path, also: Callable[[Path], None] | None = None
) -> None:
    """Write model and tokenizer; the folder appears whole or not at all, its modes by the umask.

    Args:
        model: A transformers model.
        tokenizer: Its tokenizer.
        folder: Where they go; must not exist.
        also: Writes what belongs into the folder besides, before it appears.

    Raises:
        ModelError: The folder exists or cannot be written.
    """
    with whole_folder(folder, error=ModelError) as partial:
        with _without_bars():
            model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if also is not None:
            also(partial)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers' own progress bars away: progress is reported by us, once, and only where it takes long."""
    bars: Any = transformers_logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _config(path: str, trust_remote_code: bool, revision: str | None) -> Any:
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"model.path {path!r} is a file: give the folder that holds config.json")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(f"{path}: no config.json: this is not a checkpoint folder")
    if not folder.exists() and (path.startswith((".", "/", "~")) or path.count("/") > 1):
        raise ModelError(f"model.path {path!r}: no such folder")
    if folder.is_dir():
        try:
            raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (ValueError, OSError) as cause:
            raise ModelError(f"{folder / 'config.json'}: not valid JSON: {cause}") from cause
        if "auto_map" in raw and not trust_remote_code:
            raise ModelError(
                f"{path} brings code of its own ({next(iter(raw['auto_map'].values()))}): read it, and if you trust it "
                "run with model.trust_remote_code=true"
            )
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    except (
        Exception
    ) as cause:  # transformers raises many kinds here; each means that the config cannot be used
        raise ModelError(f"model.path {path!r}: its config cannot be loaded: {_brief(cause)}") from cause
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or hasattr(config, "auto_map")
    if not known or getattr(config, "is_encoder_decoder", False):
        raise ModelError(f"{path}: model type {config.model_type!r} is not a causal language model")
    return config


def _check_weights(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        if pickles:
            raise ModelError(
                f"{folder}: only pickled weights ({pickles[0].name}), which are never loaded: convert the checkpoint "
                "with save_pretrained in a place that you trust, then use the safetensors"
            )
        raise ModelError(f"{folder}: no *.safetensors file: the weights are missing")
    for file in files:
        try:
            with safe_open(file, "pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as cause:
            raise ModelError(
                f"{file}: damaged or no safetensors file: {cause}; download or copy it again"
            ) from cause


def _check_tokenizer(folder: Path) -> None:
    if not (folder / "tokenizer.json").is_file() and not list(folder.glob("tokenizer*")):
        raise ModelError(f"{folder}: no tokenizer.json: copy the model's tokenizer files into this folder")


def _brief(cause: BaseException) -> str:
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else cause}"
