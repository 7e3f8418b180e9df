"""What a checkpoint says of itself, checked before its weights are read."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from zu_framework.errors import ModelError
from zu_framework.models.borrowing import check_tokenizer, check_vocabulary
from zu_framework.models.gguf_reading import read_once
from zu_framework.models.outline import CheckpointInfo
from zu_framework.models.places import Source, find_source
from zu_framework.models.weight_files import UNQUANTISED, TensorInfo, check_shapes, read_headers

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}
_SHORT |= {"f16": "float16", "f32": "float32", "f64": "float64", "fp64": "float64", "double": "float64"}


def check_folder(
    path: str,
    *,
    trust_remote_code: bool = False,
    revision: str | None = None,
    dtype: str = "auto",
    key: str = "model.path",
) -> CheckpointInfo:
    """Check config, tokenizer and weight files of a checkpoint, no weight read.

    Args:
        path: A checkpoint folder, a folder with one GGUF file or that file, `zu:NAME`, or an id of the hub, of which
            only the config is read.
        trust_remote_code: Whether code that the checkpoint brings may run.
        revision: Of a hub id.
        dtype: What the weights are to be loaded in: "auto" or a key of `DTYPES`.
        key: What the path was given by, for messages.

    Returns:
        What the checkpoint says of itself.

    Raises:
        ModelError: It cannot be loaded, or could not be edited: the file, tensor or key is named.
    """
    dtype_of(dtype, key)
    source = find_source(path, key=key, revision=revision)
    config = read_config(source, key, trust_remote_code=trust_remote_code, revision=revision)
    model = None if hasattr(config, "auto_map") else _without_weights(source, config)
    if source.is_local and source.gguf is None:
        folder = Path(source.path)
        headers = read_headers(folder)
        tokenizer = load_tokenizer(source.path, trust_remote_code=trust_remote_code)
        check_tokenizer(tokenizer)
        text = config.get_text_config()
        check_vocabulary(tokenizer, int(text.vocab_size), f"{folder}: config.json's vocab_size")
        if model is not None:
            _check_tensors(folder, headers, config, model)
    return CheckpointInfo.of(config, model)


def dtype_of(name: Any, key: str = "model.path") -> Any:
    """Return what `from_pretrained` takes for a dtype's name.

    Args:
        name: "auto" or a key of `DTYPES`.
        key: What the model's path was given by, for messages: `path` is an argument beside `dtype`.

    Raises:
        ModelError: Another name; a close one is suggested.
    """
    if name == "auto":
        return "auto"
    if isinstance(name, str) and name in DTYPES:
        return DTYPES[name]
    plain = str(name).lower().removeprefix("torch.")
    close = [_SHORT[plain]] if plain in _SHORT else get_close_matches(plain, DTYPES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    given_by = "dtype" if key == "path" else "model.dtype"
    raise ModelError(f"{given_by} {name!r}: {hint}use auto, {', '.join(DTYPES)}")


def load_tokenizer(path: str, *, trust_remote_code: bool = False, revision: str | None = None) -> Any:
    """Return the tokenizer of a checkpoint.

    Args:
        path: As `check_folder` takes it.
        trust_remote_code: Whether code that the checkpoint brings may run.
        revision: Of a hub id.

    Returns:
        A transformers tokenizer.

    Raises:
        ModelError: It is missing or cannot be loaded.
    """
    source = find_source(path, revision=revision)
    folder = Path(source.path)
    if source.is_local and source.gguf is None:
        known = ("tokenizer*", "vocab.*", "spiece.model", "*.tiktoken", "merges.txt", "sentencepiece*")
        if not any(any(folder.glob(pattern)) for pattern in known):
            raise ModelError(
                f"{folder}: no tokenizer.json: copy the model's tokenizer files into this folder"
            )
    try:
        return AutoTokenizer.from_pretrained(
            source.path, revision=revision, trust_remote_code=trust_remote_code, **gguf_options(source)
        )
    # transformers raises many kinds; each means that this tokenizer cannot be used
    except Exception as cause:
        raise ModelError(f"{path}: its tokenizer cannot be loaded: {brief(cause)}") from cause


def gguf_options(source: Source) -> dict[str, str]:
    """Return what transformers' loaders take for a GGUF file; nothing for another checkpoint.

    Raises:
        ModelError: A package that reads GGUF files is missing.
    """
    if source.gguf is None:
        return {}
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{source.gguf}: GGUF files need the package {' and the package '.join(missing)}: "
            "pip install gguf accelerate (or 'zu_framework[gguf]')"
        )
    return {"gguf_file": source.gguf}


def read_config(source: Source, key: str, *, trust_remote_code: bool, revision: str | None) -> Any:
    """Return the config of a checkpoint that an edit can be made on.

    Raises:
        ModelError: It is damaged, wants code of its own, is quantised, or is of no causal language model.
    """
    where = source.path if source.gguf is None else str(Path(source.path) / source.gguf)
    if source.is_local and source.gguf is None:
        _check_raw(Path(source.path) / "config.json", trust_remote_code)
    try:
        with read_once(source.gguf is not None):
            config = AutoConfig.from_pretrained(
                source.path, revision=revision, trust_remote_code=trust_remote_code, **gguf_options(source)
            )
    except ModelError:
        raise
    # transformers raises many kinds here; each means that the config cannot be used
    except Exception as cause:
        raise ModelError(f"{key} {where!r}: its config cannot be loaded: {brief(cause)}") from cause
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{where}: model type {kind!r} is no causal language model: it has an encoder and a decoder"
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not (
        getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    ):
        raise ModelError(
            f"{where}: model type {kind!r} is no causal language model: it is an encoder, which reads both ways; "
            "load a decoder"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not hasattr(config, "auto_map"):
        raise ModelError(f"{where}: model type {kind!r} is no causal language model")
    return config


def brief(cause: BaseException) -> str:
    """Return an exception's kind and the first line of its message."""
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else cause}"


def _check_raw(file: Path, trust_remote_code: bool) -> None:
    """Raise `ModelError` for what transformers would fall over, or do, without a word."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as cause:
        raise ModelError(f"{file}: not valid JSON: {cause}") from cause
    if not isinstance(raw, dict):
        raise ModelError(f"{file}: holds {_json_kind(raw)}, not an object: copy it again")
    if not isinstance(raw.get("model_type", ""), str):
        raise ModelError(f"{file}: model_type is {_json_kind(raw['model_type'])}, not a string")
    if "auto_map" in raw:
        code = raw["auto_map"]
        if not isinstance(code, Mapping) or not code:
            raise ModelError(
                f"{file}: auto_map is {_json_kind(code)}, not an object of class names: take it out, or copy the file "
                "again"
            )
        if not trust_remote_code:
            raise ModelError(
                f"{file}: auto_map brings code of its own ({next(iter(code.values()))}): read it, and if you trust it "
                "run with model.trust_remote_code=true"
            )
    for owner in (raw, raw.get("text_config")):
        if isinstance(owner, Mapping):
            settings = owner.get("quantization_config") or owner.get("compression_config")
            if settings:
                raise ModelError(f"{file}: the checkpoint is quantised ({_method(settings)}): {UNQUANTISED}")
    for name in ("hf_quant_config.json", "quantize_config.json", "quant_config.json"):
        if (file.parent / name).is_file():
            raise ModelError(f"{file.parent / name}: the checkpoint is quantised: {UNQUANTISED}")


def _method(settings: Any) -> str:
    if not isinstance(settings, Mapping):
        return _json_kind(settings)
    named = settings.get("quant_method") or settings.get("quant_algo") or settings.get("format")
    if not named and any(str(name).startswith(("load_in_", "bnb_", "_load_in_")) for name in settings):
        named = "bitsandbytes"
    return str(named or "by an unnamed method")


def _json_kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds: dict[type, str] = {dict: "object", list: "list", str: "string"}
    kind = kinds.get(type(value), "number")
    return f"{'a' if value else 'an empty'} {kind}".replace("a object", "an object")


def _without_weights(source: Source, config: Any) -> Any:
    """The model that a config describes, which takes no memory."""
    factory: Any = AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return factory.from_config(config)
    # the values of a config are the user's, and a model's code may fail on them in any way
    except Exception as cause:
        where = Path(source.path) / (source.gguf or "config.json")
        raise ModelError(f"{where}: describes no model: {brief(cause)}") from cause


def _check_tensors(folder: Path, headers: Mapping[str, TensorInfo], config: Any, model: Any) -> None:
    """Compare the tensors of a folder with those of the model that its config describes."""
    try:
        check_shapes(folder, headers, dict(model.state_dict()), str(model.base_model_prefix))
    except ModelError:
        # asked where it matters alone: transformers builds the table of all its models for it
        if not _is_converted(config, model):
            raise


def _is_converted(config: Any, model: Any) -> bool:
    """Whether a file's tensors are joined and renamed as they are loaded: the loader then compares them."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    return any(map(get_checkpoint_conversion_mapping, (config.model_type, type(model).__name__)))
