"""An edit and a saved checkpoint: put it on, take it off, export it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zu_framework.errors import ModelError, RunFolderError
from zu_framework.linalg import rounded
from zu_framework.models import LanguageModel
from zu_framework.store.adapter import write_adapter
from zu_framework.store.digests import tensor_hash
from zu_framework.store.ledger import Entry, Ledger, edit_id
from zu_framework.store.records import EditRecord, SiteRecord, load_edit

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
    ledger = _ledger_of(Path(model), found)
    if found == record.fingerprint_after or ledger.find(record) is not None:
        raise ModelError(f"{model} carries this edit already")
    if found != record.fingerprint_before:
        raise ModelError(
            _another(model, found, record.fingerprint_before, "the model that this edit was made on")
        )
    if not ledger.entries:  # a checkpoint saved without its ledger: the run remembers what came before
        ledger = Ledger.read(Path(run)).before(record)
    notes = []
    for site in record.sites:
        for step in site.steps:
            new, _ = rounded(step, lm.weight(site.site))
            lm.write_weight(site.site, new)
        if tensor_hash(lm.weight(site.site)) != site.hash_after:
            notes.append(
                f"site {site.site.name}: this machine rounds a few entries otherwise than the one that made the edit"
            )
    _save(lm, Path(out), replace(ledger.with_edit(Path(run)), fingerprint=lm.fingerprint()))
    return notes


def revert(
    run: str | Path, model: str | Path, out: str | Path, *, trust_remote_code: bool = False
) -> list[str]:
    """Take a run's edit off a checkpoint and save the result; answers notes for the user.

    The last edit: the original tensors of undo.safetensors are put back, byte for byte, the fingerprint checked
    before saving. An earlier one of the checkpoint's ledger: the later updates are done again on those originals, or,
    where an edit before it is gone already, what it added is subtracted in float64; right to rounding, and a note for
    each site states the error. Raises `RunFolderError` where the run kept no undo record, `ModelError` where the
    checkpoint does not carry the edit.
    """
    record, lm = _opened(run, model, out, trust_remote_code)
    found = lm.fingerprint()
    if found == record.fingerprint_before:
        raise ModelError(f"{model} is the original model: it does not carry this edit")
    ledger = _ledger_of(Path(model), found)
    entry = ledger.find(record)
    if entry is not None and (entry is not ledger.entries[-1] or not entry.exact):
        notes = _take_out(lm, record, ledger, entry)
    else:
        if ledger.entries and entry is None:
            listed = ", ".join(e.id for e in ledger.entries)
            raise ModelError(
                f"{model} does not carry this edit ({edit_id(record.about)}): its ledger lists {listed}"
            )
        notes = _put_back(lm, record, run, model)
    # of a checkpoint saved without its ledger, the run remembers what came before
    remembered = Ledger.read(Path(run)).before(record)
    _save(lm, Path(out), remembered if entry is None else ledger.without(entry, lm.fingerprint()))
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


def _ledger_of(model: Path, fingerprint: str) -> Ledger:
    """The checkpoint's ledger. Raises `ModelError` where the checkpoint was changed since."""
    ledger = Ledger.read(model) if model.is_dir() else Ledger()
    if ledger.entries and ledger.fingerprint != fingerprint:
        raise ModelError(
            _another(model, fingerprint, ledger.fingerprint, "the model that its ledger/ speaks of")
        )
    return ledger


def _save(lm: LanguageModel, out: Path, ledger: Ledger) -> None:
    lm.save(out, also=ledger.save)


def _put_back(lm: LanguageModel, record: EditRecord, run: str | Path, model: str | Path) -> list[str]:
    """The original tensors of the last edit; answers notes."""
    notes = []
    for site in record.sites:
        if site.original is None:
            raise RunFolderError(
                f"{run} kept no undo record (output.undo=false): an exact revert is not possible. The original "
                "checkpoint is the only exact copy"
            )
        if tensor_hash(site.original) != site.hash_before:
            raise RunFolderError(f"{run}: the undo record of {site.site.name} is damaged (its hash differs)")
        current = lm.weight(site.site)
        if tensor_hash(current) != site.hash_after:
            if not _written_elsewhere(site, current):
                raise ModelError(
                    f"{model}: site {site.site.name} is not what this edit wrote: it carries another edit, or none. An "
                    "edit under later ones can be taken off a checkpoint that was saved with its ledger/"
                )
            notes.append(f"site {site.site.name}: written by a machine that rounds a few entries otherwise")
        lm.write_weight(site.site, site.original.to(current.device))
    found = lm.fingerprint()
    if found != record.fingerprint_before:
        raise ModelError(
            _another(model, found, record.fingerprint_before, "the model before this edit, once reverted")
        )
    return notes


def _take_out(lm: LanguageModel, record: EditRecord, ledger: Ledger, entry: Entry) -> list[str]:
    """Take out an edit that is not the last, or no longer exact; answers the error at each site as notes."""
    later = ledger.entries[ledger.entries.index(entry) + 1 :]
    notes = []
    for site in record.sites:
        name = site.site.name
        after = [step for e in later for s in e.record.sites if s.site.name == name for step in s.steps]
        current = lm.weight(site.site)
        base = current.cpu().to(torch.float64)
        for step in reversed((*site.steps, *after)):
            base = step.undone(base)
        for step in after:
            base = step.applied(base, torch.float64)
        if site.original is None or name in entry.stale:
            new = base.to(current.dtype)
            ulps = ROUNDING_ULPS * (len(after) + 1)
            limit = ulps * float(current.abs().max()) * torch.finfo(current.dtype).eps
            why = "the run kept no undo record" if site.original is None else "an edit before it is gone"
            told = f"what it added was subtracted ({why}): right to about {limit:.0e} an entry"
        else:
            if tensor_hash(site.original) != site.hash_before:
                raise RunFolderError(f"the undo record of {name} is damaged (its hash differs)")
            new = site.original
            for step in after:
                new, _ = rounded(step, new)
            error = float((new.double() - base).abs().max())
            told = (
                "its original is back, byte for byte"
                if not after
                else f"{len(after)} later updates were done again on its original; subtracting instead differs by "
                f"at most {error:.1e}, in entries up to {float(new.abs().max()):.1e}"
            )
        notes.append(f"site {name}: {told}")
        lm.write_weight(site.site, new.to(current.device))
    return notes


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
