"""Original bytes of the tensors that `apply` replaced, kept in the run folder: revert is exact whatever the dtypes.

Where files and run have one dtype, undo.safetensors holds these bytes already. Where they differ, each checkpoint that
the edit is put on gets a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zu_framework.store.records import EditRecord
from zu_framework.store.run_edit import UNDO_FILE
from zu_framework.store.shards import Change, Checkpoint
from zu_framework.store.tensor_files import check_description, described, find_tensors, save_parts

PATTERN = "originals-*.safetensors"
FORMAT = 1


def keep_originals(
    run: Path, record: EditRecord, source: Checkpoint, edited: Checkpoint, names: list[str]
) -> bool:
    """Keep what is about to be replaced, unless the undo record has it.

    Args:
        run: The run folder.
        record: The edit.
        source: The checkpoint before.
        edited: The checkpoint afterwards.
        names: Of the tensors that are replaced.

    Returns:
        Whether revert will be exact; False where the run was told to keep no undo.

    Raises:
        RunFolderError: The run folder cannot be written.
    """
    if not (run / UNDO_FILE).exists():
        return False
    if {source.digests[name] for name in names} <= {site.before for site in record.sites}:
        return True
    about = {
        "format": FORMAT,
        "edit": record.id,
        "before": source.fingerprint.value,
        "fingerprint_after": edited.fingerprint.value,
        "after": {name: edited.digests[name] for name in names},
    }
    parts = {name: source.tensors[name] for name in names}
    save_parts(run / PATTERN.replace("*", source.fingerprint.value[:16]), parts, about, source.digests)
    return True


@dataclass(frozen=True)
class Originals:
    """What `apply` replaced in a checkpoint.

    Args:
        changes: The originals, by their names in the files.
        before: Fingerprint of the files before the edit.
    """

    changes: Mapping[str, Change]
    before: str


def kept_originals(run: Path, record: EditRecord, edited: Checkpoint) -> Originals | None:
    """Find the originals of a checkpoint that the edit was put on.

    Args:
        run: The run folder.
        record: The edit.
        edited: The checkpoint that carries the edit.

    Returns:
        The originals; None where none fit.

    Raises:
        RunFolderError: A file that fits is damaged.
    """
    for path in sorted(run.glob(PATTERN)):
        after = described(path).texts("after")
        if not after or any(edited.digests.get(name) != digest for name, digest in after.items()):
            continue
        tensors, fields = find_tensors(path)
        check_description(fields)
        if fields.text("edit") == record.id and set(tensors) == set(after):
            digests = fields.texts("digests")
            changes = {name: Change(stored.read, digests[name]) for name, stored in tensors.items()}
            return Originals(changes, fields.text("before"))
    return None
