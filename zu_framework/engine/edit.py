"""An edit that is in a model: what was done, how to take it back, how to keep it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import transformers
import xxhash
from torch import Tensor

import zu_framework
from zu_framework.engine.writing import SiteEdit, Writer
from zu_framework.errors import RunFolderError
from zu_framework.models import LanguageModel
from zu_framework.problem import Request
from zu_framework.store.digests import tensor_hash
from zu_framework.store.ledger import FOLDER as LEDGER_FOLDER
from zu_framework.store.ledger import Ledger, edit_id
from zu_framework.store.records import EDIT_FILE, save_edit, save_undo


@dataclass
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
    writer: Writer = field(repr=False)
    reverted: bool = False
    ledger: Ledger = field(default_factory=Ledger, repr=False)
    earlier: tuple[Edit, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

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
            if tensor_hash(self.lm.weight(edit.site)) != edit.hash_after:
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
        """Write what `zu apply` and `zu revert` read: edit.safetensors, ledger/ and undo.safetensors.

        Args:
            folder: Made where it is not there.
            undo: Whether to write the original weights too.

        Returns:
            The folder.

        Raises:
            RunFolderError: The folder cannot be made.
        """
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise RunFolderError(f"{target}: cannot be made: {cause.strerror}") from cause
        self._save_factors(target / EDIT_FILE)
        if undo:
            originals = {e.site.name: (e.original, e.hash_before, e.hash_after) for e in self.sites}
            save_undo(target, originals, self.about)
        ledger = self.ledger
        for before in self.earlier:
            if not before.reverted:
                kept = target / LEDGER_FOLDER / f"{edit_id(before.about)}.safetensors"
                kept.parent.mkdir(exist_ok=True)
                before._save_factors(kept)
                ledger = ledger.with_file(kept)
        ledger.with_edit(target).save(target)
        return target

    def _save_factors(self, path: Path) -> None:
        sites = [(e.site, e.hash_before, e.hash_after, e.steps, e.keys) for e in self.sites]
        save_edit(path, sites, self.about)

    def __enter__(self) -> Edit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.revert()


def request_digest(requests: Sequence[Request]) -> str:
    """xxh3-128 of what was asked: prompts, subjects, answers, targets, in order."""
    asked = [[r.prompt, r.subject, r.subject_start, r.answer, r.target] for r in requests]
    return xxhash.xxh3_128_hexdigest(json.dumps(asked, ensure_ascii=False).encode())


def versions() -> Mapping[str, str]:
    """What made the edit."""
    return {
        "zu_framework": zu_framework.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
