"""An exactly low-rank edit as a PEFT LoRA adapter: `W + left @ right` is B A with alpha / r = 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import RunFolderError, ZuError
from zu_framework.files import whole_folder
from zu_framework.problem import Update, composed
from zu_framework.store.records import EditRecord


def write_adapter(record: EditRecord, folder: Path) -> Path:
    """Write an edit as an adapter.

    Args:
        record: The edit.
        folder: Where the adapter goes; must not exist.

    Returns:
        The folder.

    Raises:
        RunFolderError: The update is not exactly low-rank, changes nothing, or `folder` exists or cannot be written.
        ZuError: peft is not installed.
    """
    if all(site.before == site.after for site in record.sites):
        raise RunFolderError("the edit changes nothing: there is no adapter to export")
    return write_lora(
        {site.site.module: site.steps for site in record.sites},
        folder,
        transposed=any(site.transposed for site in record.sites),
        base=str(record.about.get("base") or record.about.get("model") or "") or None,
    )


def write_lora(
    updates: Mapping[str, Sequence[Update]],
    folder: Path,
    *,
    transposed: bool = False,
    base: str | None = None,
) -> Path:
    """Write adapter_config.json and adapter_model.safetensors (float32 factors) that `peft` loads.

    Args:
        updates: The steps at each module, in the order written.
        folder: Where the adapter goes; must not exist.
        transposed: Whether the modules keep their weights as (i, o).
        base: The model that the adapter belongs to.

    Returns:
        The folder.

    Raises:
        RunFolderError: An update is not exactly low-rank, or `folder` exists or cannot be written.
        ZuError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as cause:
        raise ZuError("exporting an adapter needs peft: pip install 'zu_framework[peft]'") from cause
    factors = {module: _factors(module, steps) for module, steps in updates.items()}
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
        fan_in_fan_out=transposed,
        base_model_name_or_path=base,
        inference_mode=True,
    )
    tensors: dict[str, Tensor] = {}
    for module, (left, right) in factors.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = right.float().contiguous()  # (r, i)
        tensors[f"base_model.model.{module}.lora_B.weight"] = left.float().contiguous()  # (o, r)
    with whole_folder(folder) as partial:
        config.save_pretrained(str(partial))
        save_file(tensors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _factors(module: str, steps: Sequence[Update]) -> tuple[Tensor, Tensor]:
    for step in steps:
        if step.dense is not None:
            raise RunFolderError(f"site {module!r}: the update is dense, a LoRA adapter cannot hold it")
        if step.scale != 1.0:
            raise RunFolderError(
                f"site {module!r}: the update scales the whole weight by {step.scale:g}, which no low-rank adapter "
                "holds: zu check with output.adapter=true says which option of the solver does that; or use zu apply"
            )
    update = composed(steps)
    assert update.left is not None and update.right is not None
    return update.left, update.right


def _exactly(module: str) -> str:
    """PEFT reads pattern keys as regular expressions that match a module name's end; escape the dots."""
    return module.replace(".", r"\.")
