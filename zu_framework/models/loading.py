"""Checkpoints from and to disk: safetensors and GGUF, no remote code unless asked for, errors that say the way out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from zu_framework.errors import ModelError
from zu_framework.files import whole_folder
from zu_framework.models.checkpoints import brief, check_folder, dtype_of, gguf_options, load_tokenizer
from zu_framework.models.gguf_reading import let_go, read_once
from zu_framework.models.places import find_source


def load_checkpoint(
    path: str,
    *,
    dtype: str,
    device: str,
    revision: str | None,
    trust_remote_code: bool,
    device_map: Any = None,
    key: str = "model.path",
) -> tuple[Any, Any]:
    """Return model and fast tokenizer; a GGUF file's weights are dequantised.

    Args:
        path: As `check_folder` takes it.
        dtype: "auto" (the checkpoint's own; float32 for a GGUF file) or a key of `DTYPES`.
        device: Where the model goes, where it is not spread.
        revision: Of a hub id.
        trust_remote_code: Whether code that the checkpoint brings may run.
        device_map: As accelerate knows it; the model is then spread over devices.
        key: What the path was given by, for messages.

    Raises:
        ModelError: It cannot be loaded; also where a part of it was offloaded: an edit is written to a weight in place,
            which must therefore be in memory.
    """
    source = find_source(path, key=key, revision=revision)
    spread = {} if device_map is None else {"device_map": checked_device_map(device_map)}
    asked: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    options = {"dtype": dtype_of(dtype, key), **asked, **gguf_options(source), **spread}
    check_folder(path, dtype=dtype, key=key, **asked)
    try:
        with read_once(source.gguf is not None):
            tokenizer = load_tokenizer(path, **asked)
            model, report = _weights(path, source.path, options)
    finally:
        let_go()
    _check_report(path, report)
    if source.gguf is not None:
        _dequantised(model)
    if not spread:
        return model.to(device), tokenizer
    away = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if away:
        raise ModelError(
            f"model.device_map: {away[0]!r} and {len(away) - 1} other parameters do not fit on the devices and were "
            "offloaded, where they cannot be edited: give more devices, or load half precision (model.dtype=bfloat16)"
        )
    return model, tokenizer


def _weights(given: str, path: str, options: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The model and what transformers says of the loading, which `_check_report` reads by name."""
    loader: Any = AutoModelForCausalLM
    fixed = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        with _without_bars():
            model, report = loader.from_pretrained(path, **fixed, **options)
    except ModelError:
        raise
    # transformers raises many kinds: a checkpoint that it refuses is the user's to mend
    except Exception as cause:
        raise ModelError(f"{given}: its weights cannot be loaded: {brief(cause)}") from cause
    return model, report


def _check_report(path: str, report: Mapping[str, Any]) -> None:
    """Raise `ModelError` where tensors are missing or of another shape."""
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        raise ModelError(
            f"{path}: the safetensors lack {len(missing)} tensors of the model, {missing[0]!r} first"
        )
    for name, found, wanted in sorted(report.get("mismatched_keys", ())):
        raise ModelError(
            f"{path}: tensor {name!r} has shape {tuple(found)}, the config asks for {tuple(wanted)}: they belong to "
            "two models, or the config was changed"
        )


def _dequantised(model: Any) -> None:
    """Say of a model whose weights transformers has dequantised that it is quantised no more: it saves as any other."""
    for owner in (model.config, model.config.get_text_config()):
        if hasattr(owner, "quantization_config"):
            del owner.quantization_config
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)


def checked_device_map(given: Any) -> Any:
    """Return `model.device_map`, checked as far as it can be without a model.

    Args:
        given: As accelerate knows it.

    Raises:
        ModelError: It is none, or accelerate is missing.
    """
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
