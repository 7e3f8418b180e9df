"""What a checkpoint says of itself, checked before its weights are read."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
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
from zu_framework.models.config_files import check_config_file, check_generation_file, damaged_tokenizer_file
from zu_framework.models.gguf_reading import damage, read_once
from zu_framework.models.outline import CheckpointInfo
from zu_framework.models.places import Source, find_source
from zu_framework.models.weight_files import TensorInfo, check_complete, check_shapes, read_headers

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
    tokenizer = None
    if source.is_local and source.gguf is None:
        folder = Path(source.path)
        headers = read_headers(folder)
        check_generation_file(folder)
        tokenizer = load_tokenizer(source.path, trust_remote_code=trust_remote_code)
        check_tokenizer(tokenizer)
        text = config.get_text_config()
        check_vocabulary(tokenizer, int(text.vocab_size), f"{folder}: config.json's vocab_size")
        if model is not None:
            _check_tensors(folder, headers, config, model)
    return CheckpointInfo.of(config, model, tokenizer)


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
        broken = damaged_tokenizer_file(folder) if source.is_local else ""
        raise ModelError(f"{path}: its tokenizer cannot be loaded: {broken or brief(cause)}") from cause


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
        check_config_file(Path(source.path) / "config.json", trust_remote_code)
    try:
        with read_once(source.gguf is not None):
            config = AutoConfig.from_pretrained(
                source.path, revision=revision, trust_remote_code=trust_remote_code, **gguf_options(source)
            )
    except ModelError:
        raise
    # transformers raises many kinds here; each means that the config cannot be used
    except Exception as cause:
        if source.gguf is not None and (found := damage(Path(where))):
            raise ModelError(
                f"{where}: damaged or cut off, or no GGUF file that can be read ({found}): download or copy it again"
            ) from cause
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
    """Return an exception's kind and the first line of its message, with the next one where the first announces it."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(cause).__name__}: {said}"


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
        check_complete(folder, headers, _needed(model), str(model.base_model_prefix))
    except ModelError:
        # asked where it matters alone: transformers builds the table of all its models for it
        if not _is_converted(config, model):
            raise


def _needed(model: Any) -> Iterator[list[str]]:
    """The names of each parameter that a checkpoint must hold; tied ones have several."""
    optional = re.compile("|".join(getattr(model, "_keys_to_ignore_on_load_missing", None) or ()) or r"(?!)")
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    yield from (tied for tied in names.values() if not any(map(optional.search, tied)))


def _is_converted(config: Any, model: Any) -> bool:
    """Whether a file's tensors are joined and renamed as they are loaded: the loader then compares them."""
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    return any(map(get_checkpoint_conversion_mapping, (config.model_type, type(model).__name__)))
