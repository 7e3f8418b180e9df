"""Which edits a model carries, in order, each with its factors, keys and request digest.

A ledger lies in `ledger/` of a run folder and of a checkpoint that we saved: `ledger.json` and, for each edit, a copy
of its `edit.safetensors`. A run on such a checkpoint continues it; taking an edit off shortens it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import RunFolderError
from zu_framework.store.digests import file_digest
from zu_framework.store.records import EDIT_FILE, EditRecord, read_edit

FOLDER, FILE = "ledger", "ledger.json"
FORMAT = 1
_ID = re.compile(r"[0-9a-f]+-[0-9a-f]+")


@dataclass(frozen=True)
class Entry:
    """One edit. path: its edit.safetensors, or a copy; digest: of that file's bytes (xxh3-128).

    exact: the model without it is the very one that it was made on. That ends once an edit before it is taken off:
    at the sites that both wrote (stale), its undo record then holds what is no longer to be put back.
    """

    id: str
    path: Path
    about: Mapping[str, Any]
    digest: str
    exact: bool = True
    stale: tuple[str, ...] = ()

    @cached_property
    def record(self) -> EditRecord:
        """Its factors and keys. Raises `RunFolderError` where the file is not the one that was entered."""
        if file_digest(self.path) != self.digest:
            raise RunFolderError(f"{self.path} is damaged: it is not the edit that {FILE} speaks of")
        return read_edit(self.path)


@dataclass(frozen=True)
class Ledger:
    """The edits in a model, oldest first; fingerprint: of the model that carries them ("" for none)."""

    entries: tuple[Entry, ...] = ()
    fingerprint: str = ""

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """The ledger of a run folder or checkpoint; an empty one where there is none.

        Raises `RunFolderError` for a damaged one.
        """
        path = folder / FOLDER / FILE
        if not path.is_file():
            return cls()
        try:
            kept = json.loads(path.read_text("utf-8"))
            if kept["format"] != FORMAT:
                raise RunFolderError(f"{path} has format {kept['format']!r}, this version reads {FORMAT}")
            for e in kept["edits"]:
                if not _ID.fullmatch(e["id"]):  # it names a file: nothing that leads out of the folder
                    raise ValueError(f"an edit is called {e['id']!r}")
            entries = tuple(
                Entry(
                    e["id"], path.parent / f"{e['id']}.safetensors", dict(e["about"]), str(e["digest"]),
                    bool(e["exact"]), tuple(map(str, e["stale"])),
                )
                for e in kept["edits"]
            )  # fmt: skip
            missing = next((e.path for e in entries if not e.path.is_file()), None)
            if missing is not None:
                raise RunFolderError(f"{path}: the factors of an edit are missing: {missing.name}")
            return cls(entries, str(kept["fingerprint"]))
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise RunFolderError(
                f"{path} is damaged ({type(cause).__name__}: {cause}): restore it, or remove {FOLDER}/ to start afresh"
            ) from cause

    def save(self, folder: Path) -> None:
        """Write the ledger into a folder; nothing where it is empty."""
        if not self.entries:
            return
        target = folder / FOLDER
        try:
            target.mkdir(parents=True, exist_ok=True)
            for entry in self.entries:
                _link(entry.path, target / f"{entry.id}.safetensors")
            listed = [
                {
                    "id": e.id, "exact": e.exact, "stale": list(e.stale), "digest": e.digest, "about": dict(e.about),
                }
                for e in self.entries
            ]  # fmt: skip
            text = json.dumps({"format": FORMAT, "fingerprint": self.fingerprint, "edits": listed}, indent=2)
            partial = target / f".{FILE}.partial-{os.getpid()}"
            partial.write_text(text + "\n", encoding="utf-8")
            os.replace(partial, target / FILE)
        except OSError as cause:
            raise RunFolderError(f"{target}: the ledger cannot be written: {cause}") from cause

    def with_edit(self, folder: Path) -> Ledger:
        """This ledger and the edit of a run folder after it."""
        return self.with_file(folder / EDIT_FILE)

    def with_file(self, path: Path) -> Ledger:
        """This ledger and the edit that a file holds after it."""
        record = read_edit(path)
        entry = Entry(edit_id(record.about), path, _summary(record), file_digest(path))
        return Ledger((*self.entries, entry), record.fingerprint_after)

    def without(self, entry: Entry, fingerprint: str) -> Ledger:
        """This ledger once an edit is gone; what came after it is exact no more, and stale where it wrote too."""
        place = self.entries.index(entry)
        gone = set(entry.about["sites"])
        later = tuple(
            replace(e, exact=False, stale=tuple(sorted({*e.stale, *(gone & set(e.about["sites"]))})))
            for e in self.entries[place + 1 :]
        )
        return Ledger((*self.entries[:place], *later), fingerprint)

    def before(self, record: EditRecord) -> Ledger:
        """The edits that a model carried before this one."""
        entry = self.find(record)
        kept = self.entries if entry is None else self.entries[: self.entries.index(entry)]
        return Ledger(kept, record.fingerprint_before)

    def find(self, record: EditRecord) -> Entry | None:
        """The entry of an edit."""
        wanted = edit_id(record.about)
        return next((entry for entry in self.entries if entry.id == wanted), None)

    def earlier_keys(self) -> dict[str, Tensor]:
        """Keys (i, m) of the edits in the model, by site."""
        found: dict[str, list[Tensor]] = {}
        for entry in self.entries:
            for site in entry.record.sites:
                found.setdefault(site.site.name, []).extend(k for k in site.keys if k is not None)
        return {name: torch.cat(keys, 1) for name, keys in found.items() if keys}


def edit_id(about: Mapping[str, Any]) -> str:
    """What an edit is known by: what was asked, and what came out."""
    return f"{about['request_digest'][:12]}-{about['fingerprint_after'][:12]}"


def _summary(record: EditRecord) -> dict[str, Any]:
    kept = (
        "request_digest", "requests", "solver", "seed", "fingerprint_before", "fingerprint_after", "versions",
    )  # fmt: skip
    return {**{k: record.about.get(k) for k in kept}, "sites": [s.site.name for s in record.sites]}


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system allows it, else a copy."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
        shutil.copyfile(source, partial)
        os.replace(partial, target)
