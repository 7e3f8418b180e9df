"""An edit and a saved checkpoint: put it on, take it off, export it. The files are worked on, one tensor at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from zu_framework.errors import ModelError, RunFolderError
from zu_framework.files import whole_folder
from zu_framework.linalg import rounded
from zu_framework.models.fingerprint import tensor_digest
from zu_framework.models.weight_files import is_sound
from zu_framework.registry import Plugins
from zu_framework.store.adapter import write_adapter
from zu_framework.store.copying import copy_checkpoint
from zu_framework.store.dequantised import apply_to_gguf
from zu_framework.store.ledger import Ledger
from zu_framework.store.matching import check_before, places
from zu_framework.store.originals import keep_originals, kept_originals
from zu_framework.store.private import PrivatePart
from zu_framework.store.records import EditRecord, SiteRecord
from zu_framework.store.run_edit import load_edit
from zu_framework.store.shards import Change, Checkpoint, StoredTensor
from zu_framework.store.sources import is_gguf, source_folder
from zu_framework.store.taking_out import check_original, put_back, take_out


def apply(
    run: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    trust_remote_code: bool = False,
    plugins: Plugins | None = None,
) -> list[str]:
    """Put a run's edit on a saved checkpoint and save the result.

    The folder is copied; only the edited tensors differ, in their shard and dtype. What they held is kept in the run
    folder. A GGUF checkpoint becomes an ordinary safetensors one.

    Args:
        run: The run folder, or one that `Edit.save` wrote.
        model: The checkpoint that the edit was made on: a folder, a hub id, a GGUF file, an embedded one.
        out: Where the edited checkpoint goes; must not exist.
        trust_remote_code: Run code that a GGUF checkpoint's folder brings along; nothing else is run.
        plugins: Who may describe a model's structure; the installed ones where None.

    Returns:
        Notes for the user.

    Raises:
        ModelError: The checkpoint is not the model that the edit was made on, or carries it already.
        RunFolderError: The run folder is damaged, changes nothing, or `out` exists or cannot be written.
    """
    run, out = Path(run), Path(out)
    record = load_edit(run)
    _refuse_existing(out)
    if is_gguf(str(model)):
        return apply_to_gguf(
            record, run, str(model), out, trust_remote_code=trust_remote_code, plugins=plugins
        )
    source = Checkpoint.open(source_folder(str(model)))
    ledger = ledger_of(source)
    if ledger.find(record) is not None:
        raise ModelError(f"{model} carries this edit already")
    notes = check_before(source, record)
    if not ledger.entries:  # a checkpoint saved without its ledger: the run remembers what came before
        ledger = Ledger.read(run).before(record)
    changed, said = _edited(source, record)
    edited = source.replaced(changed)
    if all(edited.digests[name] == source.digests[name] for name in changed):
        raise RunFolderError(f"{run}: the edit changes nothing in {model}: there is nothing to save")
    with whole_folder(out) as folder:
        gone = {source.digests[name] for name in changed}
        notes += said + copy_checkpoint(edited, folder, gone)
        if not keep_originals(run, record, source, edited, list(changed)):
            notes.append(
                "the run keeps no undo record: what was replaced is in the original checkpoint alone"
            )
        ledger.with_edit(record).of(edited.fingerprint.value).save(folder)
    return notes


def revert(
    run: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    trust_remote_code: bool = False,
    private: str | Path | None = None,
) -> list[str]:
    """Take a run's edit off a checkpoint and save the result.

    The last edit: the original tensors are put back, byte for byte, and all others checked before saving. An earlier
    one of the checkpoint's ledger: the later updates are done again on those originals, or, where an edit before it is
    gone already, what it added is subtracted in float64; right to rounding, and a note for each site states the error.

    Args:
        run: The run folder.
        model: The checkpoint that carries the edit.
        out: Where the checkpoint without it goes; must not exist.
        trust_remote_code: Not needed, as no model is loaded.
        private: The folder that holds the run folders of later edits; without it they are looked for beside `run`.

    Returns:
        Notes for the user.

    Raises:
        RunFolderError: The run kept no undo record, was sealed, or is damaged; factors of a later edit are missing.
        ModelError: The checkpoint does not carry the edit.
    """
    run, out = Path(run), Path(out)
    if private is not None and not Path(private).is_dir():
        raise RunFolderError(f"private folder {str(private)!r} does not exist")
    record = load_edit(run)
    _refuse_existing(out)
    source = Checkpoint.open(source_folder(str(model)))
    ledger = ledger_of(source)
    entry = ledger.find(record)
    if entry is None and all(places(source, site, site.before) for site in record.sites):
        raise ModelError(
            f"{model} does not carry this edit: the weights that it changed are as they were before it"
        )
    kept = kept_originals(run, record, source)
    if entry is not None and (entry is not ledger.entries[-1] or not entry.exact):
        later = [
            PrivatePart.beside(run, Path(model), given=private).record(e)
            for e in ledger.entries[ledger.entries.index(entry) + 1 :]
        ]
        changed, notes = take_out(source, record, later, entry, {} if kept is None else kept.changes)
        rest = ledger.without(entry)
    else:
        if ledger.entries and entry is None:
            listed = ", ".join(e.id for e in ledger.entries)
            raise ModelError(f"{model} does not carry this edit ({record.id}): its ledger lists {listed}")
        changed, notes = (dict(kept.changes), []) if kept is not None else put_back(source, record, run)
        rest = ledger.without(entry) if entry is not None else Ledger.read(run).before(record)
        check_original(source.replaced(changed), record, None if kept is None else kept.before)
    plain = source.replaced(changed)
    with whole_folder(out) as folder:
        notes += [note for note in copy_checkpoint(plain, folder) if note.startswith("left out")]
        rest.of(plain.fingerprint.value).save(folder)
    return notes


def export_lora(run: str | Path, out: str | Path) -> Path:
    """Write a run's edit as a PEFT LoRA adapter.

    Args:
        run: The run folder.
        out: Where the adapter goes; must not exist.

    Returns:
        The adapter's folder.

    Raises:
        RunFolderError: The edit is damaged or not exactly low-rank, or `out` exists or cannot be written.
    """
    return write_adapter(load_edit(Path(run)), Path(out))


def ledger_of(checkpoint: Checkpoint) -> Ledger:
    """Read the ledger beside a checkpoint's files.

    Args:
        checkpoint: The files.

    Returns:
        Its ledger, empty where there is none.

    Raises:
        ModelError: The files are not those that the ledger speaks of.
        RunFolderError: The ledger is damaged.
    """
    ledger = Ledger.read(checkpoint.folder)
    check_ledger(checkpoint, ledger)
    return ledger


def check_ledger(checkpoint: Checkpoint, ledger: Ledger) -> None:
    """Check that a checkpoint's files are those that its ledger speaks of.

    Args:
        checkpoint: The files.
        ledger: Beside them.

    Raises:
        ModelError: They are others.
    """
    found = checkpoint.fingerprint.value if ledger.entries else ""
    if found != ledger.fingerprint:
        raise ModelError(
            f"{checkpoint.folder} carries a ledger of {len(ledger.entries)} edits, and is not the model that they left "
            f"(its fingerprint is {found[:12]}, expected {ledger.fingerprint[:12]}): it was changed since; to start "
            "afresh from it, remove its ledger/"
        )


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise RunFolderError(f"{out} exists: choose another folder, or remove it")


def _edited(source: Checkpoint, record: EditRecord) -> tuple[dict[str, Change], list[str]]:
    """What the edited tensors will hold, by their names in the files, and notes."""
    changes: dict[str, Change] = {}
    losses: dict[tuple[str, str], list[float]] = {}
    notes = []
    for site in record.sites:
        stored = places(source, site, site.before)
        if not stored:
            raise ModelError(
                f"{source.folder}: no tensor is the {site.tensor!r} that the edit was made on: {site.before}"
            )
        new, lost = _written(site, stored[0])
        if not is_sound(new):
            raise RunFolderError(
                f"site {site.site.name}: the edited weight holds NaN or infinite entries in {stored[0].dtype}: "
                "make the edit on a float32 checkpoint, or weaken it"
            )
        digest = tensor_digest(new)
        make = partial(_new, site, stored[0])
        changes |= {one.name: Change(make, digest) for one in stored}
        if stored[0].dtype != site.dtype:
            losses.setdefault((site.dtype, stored[0].dtype), []).append(lost)
        elif digest != site.after:
            notes.append(
                f"site {site.site.name}: this machine rounds a few entries otherwise than the one that made the edit"
            )
    for (made, kept), lost_here in losses.items():
        weights = "1 weight was" if len(lost_here) == 1 else f"{len(lost_here)} weights were"
        notes.append(
            f"{weights} edited in {made} and written in {kept}, as the files have it; "
            f"rounding takes at most {100 * max(lost_here):.2g} % of the change"
        )
    return changes, notes


def _written(site: SiteRecord, stored: StoredTensor) -> tuple[Tensor, float]:
    """A weight with the edit on it, as it is stored, and what rounding lost of the last step."""
    weight, lost = site.matrix(stored.read()), 0.0
    for step in site.steps:
        weight, lost = rounded(step, weight)
    return site.stored(weight), lost


def _new(site: SiteRecord, stored: StoredTensor) -> Tensor:
    return _written(site, stored)[0]
