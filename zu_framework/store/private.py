"""The private part of the edits in a model: factors and keys, found in the folders that hold run folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zu_framework.errors import RunFolderError
from zu_framework.store.ledger import FOLDER, Entry, Ledger
from zu_framework.store.records import EDIT_FILE, EditRecord, read_edit
from zu_framework.store.run_edit import SEAL_FILE
from zu_framework.store.tensor_files import described

NOWHERE = "none"


@dataclass(frozen=True)
class PrivatePart:
    """Where run folders lie.

    Args:
        folders: Each a run folder, or a folder that holds run folders; looked through in this order.
    """

    folders: tuple[Path, ...] = ()

    @classmethod
    def beside(cls, *runs: Path, given: str | Path | None = None) -> PrivatePart:
        """The folder that was given, else those that run folders and models lie in.

        Args:
            runs: Run folders, models in run folders, folders of run folders.
            given: What `ledger.private` names, None for nothing.

        Returns:
            Where to look.
        """
        if given:
            return cls((Path(given),))
        return cls(tuple(dict.fromkeys(folder for run in runs for folder in (run, run.absolute().parent))))

    def record(self, entry: Entry) -> EditRecord:
        """Find an edit of a ledger.

        Args:
            entry: Of the ledger.

        Returns:
            Its factors and keys.

        Raises:
            RunFolderError: No folder holds it, it was sealed, or it is not the one that was entered.
        """
        sealed = ""
        for path in self._files(entry.id):
            try:
                found = described(path).text("digest")
            except RunFolderError:  # a damaged run beside it is another matter
                continue
            if found == entry.edit:
                return read_edit(path)
        for folder in self.folders:
            for manifest in (folder / SEAL_FILE, *sorted(folder.glob(f"*/{SEAL_FILE}"))):
                if manifest.is_file() and entry.id in manifest.read_text(encoding="utf-8", errors="replace"):
                    sealed = f" ({manifest.parent} was sealed: they are gone)"
        looked = ", ".join(map(str, self.folders)) or "no folder"
        raise RunFolderError(
            f"the model carries edit {entry.id}, whose factors and keys are in no run folder of {looked}{sealed}: give "
            f"the folder that holds its run folder by ledger.private=DIR, or go on without them by "
            f"ledger.private={NOWHERE}"
        )

    def earlier_keys(self, ledger: Ledger) -> dict[str, Tensor]:
        """Keys of the edits in a model.

        Args:
            ledger: Of the model.

        Returns:
            Keys (i, m) by site; none at all where we were told to go on without.

        Raises:
            RunFolderError: The factors of an edit are missing.
        """
        if self.folders == (Path(NOWHERE),):
            return {}
        found: dict[str, list[Tensor]] = {}
        for entry in ledger.entries:
            for site in self.record(entry).sites:
                found.setdefault(site.site.name, []).extend(k for k in site.keys if k is not None)
        return {name: torch.cat(keys, 1) for name, keys in found.items() if keys}

    def _files(self, edit: str) -> Iterator[Path]:
        """Where the file of an edit may lie."""
        names = (EDIT_FILE, f"{FOLDER}/{edit}.safetensors")
        for folder in self.folders:
            for pattern in (*names, *(f"*/{name}" for name in names)):
                yield from _globbed(folder, pattern)


def _globbed(folder: Path, pattern: str) -> Sequence[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:  # not ours to read: it is not there for us
        return []
