"""The two files of an edit: `edit.safetensors` (what to add) and `undo.safetensors` (what was there before)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import RunFolderError
from zu_framework.problem import Site, Update

EDIT_FILE = "edit.safetensors"
UNDO_FILE = "undo.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class SiteRecord:
    """One edited weight as read back. original is None where the run kept no undo; keys: of each step, if any."""

    site: Site
    hash_before: str
    hash_after: str
    steps: tuple[Update, ...]
    original: Tensor | None = None
    keys: tuple[Tensor | None, ...] = ()


@dataclass(frozen=True)
class EditRecord:
    """An edit as read back: its sites in the order written, and what the metadata says of model and run."""

    sites: tuple[SiteRecord, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint_before(self) -> str:
        """Of the model that the edit was made on."""
        return str(self.about["fingerprint_before"])

    @property
    def fingerprint_after(self) -> str:
        """Of the edited model."""
        return str(self.about["fingerprint_after"])


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file under a temporary name, then rename it. metadata is kept as one JSON text."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            partial,
            metadata={"zu": json.dumps(metadata)},
        )
        os.replace(partial, path)
    except (OSError, SafetensorError) as cause:
        raise RunFolderError(f"{path}: cannot be written: {cause}") from cause
    finally:
        partial.unlink(missing_ok=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file of ours. Raises `RunFolderError` for a missing, damaged or foreign file."""
    if not path.is_file():
        raise RunFolderError(f"{path} does not exist")
    try:
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as cause:
        raise RunFolderError(f"{path} is damaged or no safetensors file: {cause}") from cause
    if "zu" not in metadata:
        raise RunFolderError(f"{path} was not written by zu_framework (no metadata)")
    return tensors, json.loads(metadata["zu"])


def save_edit(
    path: Path,
    sites: list[tuple[Site, str, str, list[Update], list[Tensor | None]]],
    about: Mapping[str, Any],
) -> None:
    """Write the file of an edit: sites as (site, hash before, hash after, steps, the keys of each step)."""
    tensors: dict[str, Tensor] = {}
    listed = []
    for site, before, after, steps, keys in sites:
        kinds = []
        for number, (step, solved_for) in enumerate(zip(steps, keys, strict=True)):
            kinds.append({"kind": step.kind, "scale": step.scale})
            parts = {"left": step.left, "right": step.right, "dense": step.dense, "keys": solved_for}
            tensors |= {f"{site.name}/{number}/{k}": v for k, v in parts.items() if v is not None}
        listed.append({**asdict(site), "hash_before": before, "hash_after": after, "steps": kinds})
    save_tensors(path, tensors, {"format": FORMAT, **about, "sites": listed})


def save_undo(
    folder: Path, originals: Mapping[str, tuple[Tensor, str, str]], about: Mapping[str, Any]
) -> None:
    """Write undo.safetensors: module -> (original tensor (o, i), hash before, hash after)."""
    tensors = {module: original for module, (original, _, _) in originals.items()}
    hashes = {module: {"before": before, "after": after} for module, (_, before, after) in originals.items()}
    save_tensors(folder / UNDO_FILE, tensors, {"format": FORMAT, **about, "hashes": hashes})


def load_edit(folder: Path) -> EditRecord:
    """Read an edit and, where the run kept it, its undo record."""
    if not folder.is_dir():
        raise RunFolderError(f"run folder {str(folder)!r} does not exist")
    undo: dict[str, Tensor] = {}
    record = read_edit(folder / EDIT_FILE)
    if (folder / UNDO_FILE).exists():
        undo, undo_about = load_tensors(folder / UNDO_FILE)
        if undo_about.get("fingerprint_before") != record.fingerprint_before:
            raise RunFolderError(f"{folder / UNDO_FILE} belongs to another edit than {folder / EDIT_FILE}")
    return replace(
        record, sites=tuple(replace(site, original=undo.get(site.site.name)) for site in record.sites)
    )


def read_edit(path: Path) -> EditRecord:
    """Read the file of an edit, wherever it lies. Raises `RunFolderError` for a damaged or foreign one."""
    tensors, about = load_tensors(path)
    if about.get("format") != FORMAT:
        raise RunFolderError(
            f"{path} has format {about.get('format')!r}, this version reads {FORMAT}: update zu_framework"
        )
    sites = []
    try:
        for entry in about["sites"]:
            site = Site(
                entry["module"], entry["layer"], entry["block"], entry["residual_stream"],
                entry.get("parameter", "weight"),
            )  # fmt: skip
            steps = tuple(
                Update(
                    left=tensors.get(f"{site.name}/{number}/left"),
                    right=tensors.get(f"{site.name}/{number}/right"),
                    dense=tensors.get(f"{site.name}/{number}/dense"),
                    scale=step["scale"],
                )
                for number, step in enumerate(entry["steps"])
            )
            keys = tuple(tensors.get(f"{site.name}/{number}/keys") for number in range(len(steps)))
            sites.append(SiteRecord(site, entry["hash_before"], entry["hash_after"], steps, keys=keys))
    except KeyError as cause:
        raise RunFolderError(f"{path} is incomplete: {cause} is missing") from cause
    return EditRecord(tuple(sites), about)


def composed(steps: tuple[Update, ...]) -> Update:
    """Several factored steps as one: `s2 (s1 W + L1 R1) + L2 R2`. Raises `RunFolderError` where one is dense."""
    first, *rest = steps
    for step in rest:
        if first.left is None or first.right is None or step.left is None or step.right is None:
            raise RunFolderError("a dense step cannot be composed into factors")
        first = Update(
            left=torch.cat([step.scale * first.left, step.left.to(first.left)], dim=1),
            right=torch.cat([first.right, step.right.to(first.right)], dim=0),
            scale=step.scale * first.scale,
        )
    return first
