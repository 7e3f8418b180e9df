"""An exactly low-rank edit as a PEFT LoRA adapter: `W + left @ right` is B A with alpha / r = 1."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import RunFolderError, ZuError
from zu_framework.problem import Update
from zu_framework.store.records import EditRecord, composed


def write_adapter(record: EditRecord, folder: Path) -> Path:
    """Write adapter_config.json and adapter_model.safetensors (float32 factors) that `peft` loads.

    Raises `RunFolderError` with the reason for an update that is not exactly low-rank, or where `folder` exists.
    """
    try:
        from peft import LoraConfig
    except ImportError as cause:
        raise ZuError("exporting an adapter needs peft: pip install 'zu_framework[peft]'") from cause
    if folder.exists():
        raise RunFolderError(f"{folder} exists: choose another folder, or remove it")
    factors = {site.site.module: _factors(site.site.module, site.steps) for site in record.sites}
    ranks = {module: left.shape[1] for module, (left, _) in factors.items()}
    rank = max(ranks.values())
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=list(factors),
        rank_pattern={_exactly(m): r for m, r in ranks.items() if r != rank},
        alpha_pattern={_exactly(m): r for m, r in ranks.items() if r != rank},
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        fan_in_fan_out=bool(record.about.get("transposed", False)),
        base_model_name_or_path=str(record.about.get("model") or "") or None,
        inference_mode=True,
    )
    tensors: dict[str, Tensor] = {}
    for module, (left, right) in factors.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = right.float().contiguous()  # (r, i)
        tensors[f"base_model.model.{module}.lora_B.weight"] = left.float().contiguous()  # (o, r)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        config.save_pretrained(str(partial))
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
        os.rename(partial, folder)
    except OSError as cause:
        raise RunFolderError(f"{folder}: cannot be written: {cause.strerror}") from cause
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _factors(module: str, steps: tuple[Update, ...]) -> tuple[Tensor, Tensor]:
    for step in steps:
        if step.dense is not None:
            raise RunFolderError(f"site {module!r}: the update is dense, a LoRA adapter cannot hold it")
        if step.scale != 1.0:
            raise RunFolderError(
                f"site {module!r}: the update scales the whole weight by {step.scale:g} (the solver's slack), which no "
                "low-rank adapter holds; run with solver.slack=0, or with solver.name=zerounlearn-local"
            )
    update = composed(steps)
    assert update.left is not None and update.right is not None
    return update.left, update.right


def _exactly(module: str) -> str:
    """PEFT reads pattern keys as regular expressions that match a module name's end; escape the dots."""
    return module.replace(".", r"\.")
