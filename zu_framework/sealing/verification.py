"""Whether a checkpoint is the model that a sealed run left, by its manifest alone, offline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from zu_framework.errors import ModelError, RunFolderError
from zu_framework.models.fingerprint import Fingerprint
from zu_framework.sealing.manifest import Manifest
from zu_framework.store.matching import compare
from zu_framework.store.shards import Checkpoint
from zu_framework.store.sources import source_folder


def verify(manifest: str | Path, model: str | Path) -> list[str]:
    """Check a model against the manifest of a sealed run; no network, no weights in memory but one tensor.

    Args:
        manifest: The file `manifest.json`.
        model: A checkpoint's folder, or a hub id that was downloaded before.

    Returns:
        What was checked, a sentence each.

    Raises:
        ModelError: The model is not the one that the run left; the message says how it differs.
        RunFolderError: The manifest is damaged, or a file beside it is not what was sealed.
    """
    sealed = Manifest.read(Path(manifest))
    checked = _beside(sealed)
    checkpoint = Checkpoint.open(source_folder(str(model), download=False))
    after = {site.tensor: site.after for site in sealed.sites}
    total, edited = len(checkpoint.tensors), len(sealed.sites)
    if any(_files_match(sealed, checkpoint, after, written) for written in ({}, *sealed.published)):
        everything = f"all {total} tensors of {model} are those of the sealed run"
        return [*checked, f"{everything}, {edited} edited weights among them"]
    found = compare(sealed.before.replaced(after), checkpoint)
    if not found.differing and len(found.elsewhere) < found.total:
        same = found.total - len(found.elsewhere)
        checked.append(f"{same} of {found.total} tensors of {model} are those of the sealed run")
        if found.by_dtype:
            checked.append(f"{len(found.by_dtype)} of them once they are read in the run's dtype")
        return checked
    held = [site.name for site in sealed.sites if site.tensor in found.differing]
    original = compare(Fingerprint({site.tensor: site.before for site in sealed.sites}), checkpoint)
    back = [
        site.name for site in sealed.sites if site.tensor not in {*original.differing, *original.elsewhere}
    ]
    if back:
        raise ModelError(
            f"{model} still holds what the edit removed: {len(back)} of {edited} edited weights are as they were "
            f"before it, {back[0]!r} first"
        )
    what = f"{len(held)} of {edited} edited weights are others" if held else "its edited weights are right"
    raise ModelError(
        f"{model} is not the model that the sealed run left: {len(found.differing)} of {found.total} tensors differ, "
        f"{(found.differing or found.elsewhere)[0]!r} first; {what}"
    )


def _files_match(
    sealed: Manifest, checkpoint: Checkpoint, after: Mapping[str, str], written: Mapping[str, str]
) -> bool:
    """Whether all files are those before the edit but for what it wrote; nothing in them differs then."""
    if sealed.files is None:
        return False
    return checkpoint.digests == {**sealed.files.tensors, **(written or after)}


def _beside(sealed: Manifest) -> list[str]:
    """Check the files of the run folder that the manifest lies in, those that are there."""
    count = 0
    for name, digest in sealed.sealed.items():
        path = sealed.path.parent / name
        if path.is_file():
            count += 1
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise RunFolderError(f"{path} is not what was sealed (its digest differs)")
    return [f"{count} files beside the manifest are those that were sealed"] if count else []
