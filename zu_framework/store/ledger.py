"""Which edits a model carries, in order: `ledger/ledger.json` beside its weights, which may be published with them.

It holds ids, names of sites, norms and digests: no tensor, no word of a fact, and nothing that follows from the facts
alone. Factors and keys stay in the run folders (`private.py`). A run on such a checkpoint continues the list; taking an
edit off shortens it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from zu_framework.errors import RunFolderError
from zu_framework.files import write_json
from zu_framework.store.fields import Fields
from zu_framework.store.records import EditRecord
from zu_framework.store.tensor_files import check_description, with_digest

FOLDER, FILE = "ledger", "ledger.json"
FORMAT = 2
_ID = re.compile(r"[0-9a-f]+-[0-9a-f]+")


@dataclass(frozen=True)
class EditedSite:
    """One edited weight: its name, ||W' - W|| / ||W||, and the parameter's digests in the run's dtype."""

    name: str
    relative_change: float
    before: str
    after: str


@dataclass(frozen=True)
class Entry:
    """One edit.

    Args:
        id: What it is known by.
        before: Fingerprint of the model that it was made on, in memory.
        after: Fingerprint of the edited model.
        edit: Digest of its edit.safetensors.
        sites: The edited weights.
        exact: The model without it is the very one that it was made on. That ends once an edit before it is taken off.
        stale: Sites that such an edit wrote too: the undo record then holds what is no longer to be put back.
    """

    id: str
    before: str
    after: str
    edit: str
    sites: tuple[EditedSite, ...]
    exact: bool = True
    stale: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: EditRecord) -> Entry:
        """The entry of an edit."""
        sites = tuple(EditedSite(s.site.name, s.relative_change, s.before, s.after) for s in record.sites)
        return cls(record.id, record.fingerprint_before, record.fingerprint_after, record.digest, sites)

    @property
    def site_names(self) -> set[str]:
        """The names of the edited weights."""
        return {site.name for site in self.sites}


@dataclass(frozen=True)
class Ledger:
    """The edits in a model, oldest first; fingerprint: of the files that carry them ("" for none, or not yet)."""

    entries: tuple[Entry, ...] = ()
    fingerprint: str = ""

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Read the ledger of a run folder or checkpoint.

        Args:
            folder: What holds `ledger/`.

        Returns:
            The ledger; an empty one where there is none.

        Raises:
            RunFolderError: It is damaged.
        """
        path = folder / FOLDER / FILE
        if not path.is_file():
            return cls()
        fields = Fields.read(path, way_out=f": restore it, or remove {FOLDER}/ to start afresh")
        if (found := fields.whole("format")) != FORMAT:
            raise RunFolderError(f"{path} has format {found}, this version reads {FORMAT}")
        entries = tuple(_entry(one) for one in fields.objects("edits"))
        check_description(fields)
        return cls(entries, fields.text("fingerprint"))

    def save(self, folder: Path) -> None:
        """Write the ledger into a folder; nothing where it is empty.

        Args:
            folder: What will hold `ledger/`.

        Raises:
            RunFolderError: It cannot be written.
        """
        if not self.entries:
            return
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        whole = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "edits": [{**asdict(entry), "stale": list(entry.stale)} for entry in self.entries],
        }
        write_json(folder / FOLDER / FILE, with_digest(whole))

    def of(self, fingerprint: str) -> Ledger:
        """This ledger beside files of another fingerprint."""
        return replace(self, fingerprint=fingerprint)

    def with_edit(self, record: EditRecord) -> Ledger:
        """This ledger and an edit after it."""
        return Ledger((*self.entries, Entry.of(record)))

    def without(self, entry: Entry) -> Ledger:
        """This ledger once an edit is gone; what came after it is exact no more, and stale where it wrote too."""
        place = self.entries.index(entry)
        later = tuple(
            replace(e, exact=False, stale=tuple(sorted({*e.stale, *(entry.site_names & e.site_names)})))
            for e in self.entries[place + 1 :]
        )
        return Ledger((*self.entries[:place], *later))

    def before(self, record: EditRecord) -> Ledger:
        """The edits that a model carried before this one."""
        entry = self.find(record)
        return Ledger(self.entries if entry is None else self.entries[: self.entries.index(entry)])

    def find(self, record: EditRecord) -> Entry | None:
        """The entry of an edit, or None."""
        return next((entry for entry in self.entries if entry.id == record.id), None)


def _entry(fields: Fields) -> Entry:
    if not _ID.fullmatch(fields.text("id")):
        raise fields.wrong("id", f"is {fields.text('id')!r}, no id of an edit")
    sites = fields.objects("sites")
    return Entry(
        fields.text("id"),
        fields.text("before"),
        fields.text("after"),
        fields.text("edit"),
        tuple(
            EditedSite(s.text("name"), s.number("relative_change"), s.text("before"), s.text("after"))
            for s in sites
        ),
        fields.truth("exact"),
        tuple(_texts(fields, "stale")),
    )


def _texts(fields: Fields, name: str) -> Sequence[str]:
    found = fields.listed(name)
    for value in found:
        if not isinstance(value, str):
            raise fields.wrong(name, f"holds {value!r}, not a text")
    return found
