"""The edit of a run folder: its factors, and `undo.safetensors`, what the weights held before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from zu_framework.errors import RunFolderError
from zu_framework.store.records import EDIT_FILE, FORMAT, EditRecord, SiteRecord, known_format, read_edit
from zu_framework.store.shards import StoredTensor
from zu_framework.store.tensor_files import check_description, find_tensors, save_tensors

UNDO_FILE = "undo.safetensors"
SEAL_FILE = "manifest.json"


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's.

    Args:
        folder: Any folder.

    Returns:
        True for a run folder, and for one that was sealed.
    """
    return (folder / EDIT_FILE).is_file() or (folder / SEAL_FILE).is_file()


def load_edit(folder: Path) -> EditRecord:
    """Read an edit and, where the run kept it, its undo record.

    Args:
        folder: The run folder.

    Returns:
        The edit, everything checked against its digests.

    Raises:
        RunFolderError: The folder is no run, was sealed, or is damaged.
    """
    if not folder.is_dir():
        raise RunFolderError(f"run folder {str(folder)!r} does not exist")
    if (folder / SEAL_FILE).is_file() and not (folder / EDIT_FILE).exists():
        raise RunFolderError(
            f"{folder} was sealed: its factors and undo record are gone or encrypted, so that the edit can neither be "
            f"put on nor taken off; the original checkpoint is the only way back ({SEAL_FILE} says what was done)"
        )
    record = read_edit(folder / EDIT_FILE)
    path = folder / UNDO_FILE
    if not path.exists():
        return record
    originals, fields = find_tensors(path)
    known_format(fields)
    if fields.text("edit") != record.id:
        raise RunFolderError(f"{path} belongs to another edit than {folder / EDIT_FILE}")
    check_description(fields)
    digests = fields.texts("digests")
    sites = tuple(_with_original(path, site, originals, digests) for site in record.sites)
    return replace(record, sites=sites)


def save_undo(folder: Path, record: EditRecord, originals: Mapping[str, Tensor]) -> None:
    """Write undo.safetensors.

    Args:
        folder: The run folder.
        record: The edit.
        originals: Parameter name -> the parameter before the edit, as it is stored.

    Raises:
        RunFolderError: It cannot be written.
    """
    about = {"format": FORMAT, "edit": record.id}
    save_tensors(folder / UNDO_FILE, originals, about)


def _with_original(
    path: Path, site: SiteRecord, originals: Mapping[str, StoredTensor], digests: Mapping[str, str]
) -> SiteRecord:
    if site.tensor not in originals:
        raise RunFolderError(f"{path} is damaged: the original of {site.tensor!r} is missing")
    if digests[site.tensor] != site.before:
        raise RunFolderError(f"{path} is damaged: {site.tensor!r} is not the original of this edit")
    return replace(site, original=originals[site.tensor].read)
