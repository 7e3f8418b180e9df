"""The JSON files of a checkpoint folder, looked at before transformers reads them: a damaged one is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zu_framework.errors import ModelError
from zu_framework.models.weight_files import UNQUANTISED

TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)


def check_config_file(file: Path, trust_remote_code: bool) -> None:
    """Check config.json for what transformers would fall over, or do, without a word.

    Args:
        file: The config.json.
        trust_remote_code: Whether code that the checkpoint brings may run.

    Raises:
        ModelError: It is damaged, wants code of its own, or says that the weights are quantised.
    """
    raw = _object(file)
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


def check_generation_file(folder: Path) -> None:
    """Check generation_config.json, which is read when the weights are. Raises `ModelError` where it is no object.

    One that is no JSON at all is passed over by transformers, and so it is here.
    """
    file = folder / "generation_config.json"
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        return
    if not isinstance(raw, dict):
        raise ModelError(f"{file}: holds {_json_kind(raw)}, not an object: copy it again, or take it out")


def damaged_tokenizer_file(folder: Path) -> str:
    """Return which of a tokenizer's files is damaged, and how; "" where none is."""
    for name in TOKENIZER:
        if (folder / name).is_file():
            try:
                _object(folder / name)
            except ModelError as cause:
                return str(cause)
    return ""


def _object(file: Path) -> dict[str, Any]:
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ModelError(f"{file}: cannot be read: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:
        raise ModelError(f"{file}: not valid JSON: {cause}; copy it again") from cause
    if not isinstance(raw, dict):
        raise ModelError(f"{file}: holds {_json_kind(raw)}, not an object: copy it again")
    return raw


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
