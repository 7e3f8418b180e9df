"""An edit and a saved checkpoint: put it on, take it off, export it."""

from __future__ import annotations

from pathlib import Path

import torch

from zu_framework.engine.adapter import write_adapter
from zu_framework.engine.records import EditRecord, SiteRecord, load_edit
from zu_framework.engine.writing import rounded, tensor_hash
from zu_framework.errors import ModelError, RunFolderError
from zu_framework.models import LanguageModel

# Two machines may round a product differently; what they write then differs in the last places of few entries.
ROUNDING_ULPS = 4


def apply(
    run: str | Path, model: str | Path, out: str | Path, *, trust_remote_code: bool = False
) -> list[str]:
    """Put a run's edit on a saved checkpoint and save the result; answers notes for the user.

    Raises `ModelError` where the checkpoint is not the model that the edit was made on, `RunFolderError` where `out`
    exists. Nothing is written then.
    """
    record, lm = _opened(run, model, out, trust_remote_code)
    found = lm.fingerprint()
    if found == record.fingerprint_after:
        raise ModelError(f"{model} carries this edit already")
    if found != record.fingerprint_before:
        raise ModelError(
            _another(model, found, record.fingerprint_before, "the model that this edit was made on")
        )
    notes = []
    for site in record.sites:
        for step in site.steps:
            new, _ = rounded(step, lm.weight(site.site))
            lm.write_weight(site.site, new)
        if tensor_hash(lm.weight(site.site)) != site.hash_after:
            notes.append(
                f"site {site.site.module}: this machine rounds a few entries otherwise than the one that made the edit"
            )
    lm.save(Path(out))
    return notes


def revert(
    run: str | Path, model: str | Path, out: str | Path, *, trust_remote_code: bool = False
) -> list[str]:
    """Put the original tensors of undo.safetensors back into an edited checkpoint and save it; answers notes.

    Every tensor of the result equals the original's byte for byte: the fingerprint is checked before saving.
    Raises `RunFolderError` where the run kept no undo record, `ModelError` where the checkpoint does not carry
    the edit.
    """
    record, lm = _opened(run, model, out, trust_remote_code)
    if lm.fingerprint() == record.fingerprint_before:
        raise ModelError(f"{model} is the original model: it does not carry this edit")
    notes = []
    for site in record.sites:
        if site.original is None:
            raise RunFolderError(
                f"{run} kept no undo record (output.undo=false): an exact revert is not possible. The original "
                "checkpoint is the only exact copy"
            )
        if tensor_hash(site.original) != site.hash_before:
            raise RunFolderError(
                f"{run}: the undo record of {site.site.module} is damaged (its hash differs)"
            )
        current = lm.weight(site.site)
        if tensor_hash(current) != site.hash_after:
            if not _written_elsewhere(site, current):
                raise ModelError(
                    f"{model}: site {site.site.module} is not what this edit wrote: it carries another edit, or none"
                )
            notes.append(f"site {site.site.module}: written by a machine that rounds a few entries otherwise")
        lm.write_weight(site.site, site.original.to(current.device))
    found = lm.fingerprint()
    if found != record.fingerprint_before:
        raise ModelError(
            _another(model, found, record.fingerprint_before, "the model before this edit, once reverted")
        )
    lm.save(Path(out))
    return notes


def export_lora(run: str | Path, out: str | Path) -> Path:
    """Write a run's edit as a PEFT LoRA adapter. Raises `RunFolderError` with the reason where that is not exact."""
    return write_adapter(load_edit(Path(run)), Path(out))


def _opened(
    run: str | Path, model: str | Path, out: str | Path, trust_remote_code: bool
) -> tuple[EditRecord, LanguageModel]:
    record = load_edit(Path(run))
    if Path(out).exists():
        raise RunFolderError(f"{out} exists: choose another folder, or remove it")
    lm = LanguageModel.from_pretrained(
        str(model), dtype=str(record.about["dtype"]), device="cpu", trust_remote_code=trust_remote_code
    )
    return record, lm


def _another(model: str | Path, found: str, wanted: str, what: str) -> str:
    return f"{model} is not {what}: its fingerprint is {found[:12]}, expected {wanted[:12]}"


def _written_elsewhere(site: SiteRecord, current: torch.Tensor) -> bool:
    """Whether `current` is this edit to rounding: a machine with another BLAS may have written it."""
    assert site.original is not None
    expected = site.original
    if expected.shape != current.shape or expected.dtype != current.dtype:
        return False
    for step in site.steps:
        expected, _ = rounded(step, expected)
    scale = float(expected.abs().max()) * torch.finfo(expected.dtype).eps
    return float((expected - current.cpu()).abs().max()) <= ROUNDING_ULPS * scale
