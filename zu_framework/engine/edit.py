"""An edit that is in a model: what was done, how to take it back, how to keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from zu_framework.engine.writing import SiteEdit, Writer
from zu_framework.errors import RunFolderError, described
from zu_framework.files import writing
from zu_framework.models import LanguageModel
from zu_framework.problem import Request
from zu_framework.store.ledger import FOLDER as LEDGER_FOLDER
from zu_framework.store.ledger import Ledger
from zu_framework.store.records import EDIT_FILE, EditRecord, SiteRecord, read_edit, save_edit
from zu_framework.store.run_edit import save_undo
from zu_framework.store.sources import files_fingerprint


@dataclass(repr=False)
class Edit:
    """An edit that is in a model.

    As a context manager it reverts when the block ends.

    Args:
        lm: The edited model.
        requests: What was forgotten.
        report: Per site what target builder, solver and writer measured, and seconds per phase.
        about: What a run folder says of the edit: solver, seed, versions, digests.
        writer: Holds the originals of the touched weights.
        reverted: Whether it was taken back.
        ledger: The edits that the checkpoint carried before this one.
        earlier: The edits made in memory before this one, after those of the ledger.
        notes: What to know of how the facts were read.
    """

    lm: LanguageModel
    requests: tuple[Request, ...]
    report: dict[str, Any]
    about: dict[str, Any]
    writer: Writer
    reverted: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    earlier: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        facts, sites = len(self.requests), ", ".join(self.writer.edits)
        state = "reverted" if self.reverted else "in the model"
        return f"Edit({facts} fact{'s' * (facts != 1)}, {sites or 'no site'}, {state})"

    @property
    def sites(self) -> list[SiteEdit]:
        """The edited weights, in the order written."""
        return list(self.writer.edits.values())

    def revert(self) -> None:
        """Put every touched weight back, bit for bit.

        A second call does nothing.

        Raises:
            RunFolderError: A weight is no longer what this edit wrote; the model is untouched then.
        """
        if self.reverted:
            return
        for edit in self.sites:
            if self.lm.digest(edit.site) != edit.hash_after:
                raise RunFolderError(
                    f"site {edit.site.name!r} was written by something else after this edit: "
                    "revert the later edit first"
                )
        self.writer.restore()
        self.reverted = True

    @property
    def keys(self) -> dict[str, Tensor]:
        """Keys (i, n) that this edit was solved for, by site; none of a model solver's."""
        held = {e.site.name: [k for k in e.keys if k is not None] for e in self.sites}
        return {name: torch.cat(keys, 1) for name, keys in held.items() if keys}

    def save(self, folder: str | Path, *, undo: bool = True) -> Path:
        """Write what `zu apply` and `zu revert` read: the folder is private, as it allows to recover the facts.

        Args:
            folder: Where edit.safetensors, ledger/ and undo.safetensors go; made where it does not exist.
            undo: Keep the original tensors: without them a revert is not exact.

        Returns:
            The folder.

        Raises:
            RunFolderError: The edit wrote no weight, the folder holds another edit, or it cannot be written.
        """
        target = Path(folder)
        if not self.sites:
            raise RunFolderError("the edit wrote no weight: there is nothing to save")
        record = self.record()
        with writing(target):
            if not target.exists():
                target.mkdir(parents=True)
                target.chmod(0o700)
        _refuse_another(target, record)
        ledger = self.ledger
        for before in (edit for edit in self.earlier if not edit.reverted):
            kept = target / LEDGER_FOLDER / f"{before.record().id}.safetensors"
            with writing(kept):
                kept.parent.mkdir(mode=0o700, exist_ok=True)
            save_edit(kept, before.record())
            ledger = ledger.with_edit(read_edit(kept))
        if undo:
            save_undo(target, record, {e.name: e.stored for e in self.sites})
        save_edit(target / EDIT_FILE, record)
        ledger.with_edit(read_edit(target / EDIT_FILE)).save(target)
        return target

    def record(self) -> EditRecord:
        """All of this edit that can be kept, without the originals."""
        sites = tuple(
            SiteRecord(
                e.site,
                e.name,
                e.shape,
                e.transposed,
                e.hash_before,
                e.hash_after,
                tuple(e.steps),
                tuple(e.keys),
                relative_change=e.relative_change,
                aliases=e.aliases,
            )
            for e in self.sites
        )
        files = files_fingerprint(str(self.about.get("model") or ""))
        return EditRecord(sites, self.writer.before, files, self.about)

    def __enter__(self) -> Edit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.revert()
        except Exception as cause:  # never in place of what the block raised: said beside it
            if value is None:
                raise
            value.add_note(f"besides, the edit could not be reverted: {described(cause)}")


def _refuse_another(folder: Path, record: EditRecord) -> None:
    """An edit is saved again into its own folder, never over another."""
    path = folder / EDIT_FILE
    if path.exists() and read_edit(path).id != record.id:
        raise RunFolderError(f"{path} holds another edit: choose another folder, or remove it")
