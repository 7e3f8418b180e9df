"""A copy of a checkpoint folder in which some tensors hold something else; every other byte is as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from zu_framework.errors import ModelError
from zu_framework.files import MARK
from zu_framework.store.ledger import FOLDER as LEDGER_FOLDER
from zu_framework.store.shards import BLOCK, Checkpoint, StoredTensor, read_header

# other copies of the weights, which an edit of the safetensors does not reach: they would give the facts back
OTHER_WEIGHTS = (
    "pytorch_model*.bin",
    "pytorch_model*.bin.index.json",
    "model*.bin",
    "*.gguf",
    "consolidated*",
    "*.pth",
    "*.ckpt",
    "tf_model*",
    "flax_model*",
    "rust_model.ot",
    "*.onnx",
    "*.onnx_data",
    "optimizer.*",
)
LEFT_OUT_FOLDERS = (".git", LEDGER_FOLDER)
# what a checkpoint consists of; anything else is named to whoever publishes it
USUAL = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "chat_template*",
    "model*.safetensors",
    "model.safetensors.index.json",
    "spiece.model",
)


def copy_checkpoint(checkpoint: Checkpoint, out: Path, gone: Collection[str] = ()) -> list[str]:
    """Write a checkpoint's folder, one file after the other; at most one changed tensor is in memory at a time.

    Args:
        checkpoint: The source, with what some of its tensors are to hold.
        out: An empty folder.
        gone: Digests of what the changed tensors held: no other file may still hold it.

    Returns:
        Notes for whoever publishes the copy: what was left out, what else lies in it.

    Raises:
        ModelError: A file of the source cannot be read.
    """
    changed: dict[Path, list[StoredTensor]] = {}
    for stored in checkpoint.tensors.values():
        if stored.held is not None:
            changed.setdefault(stored.file, []).append(stored)
    known = {stored.file for stored in checkpoint.tensors.values()}
    left_out, besides = [], []
    for name, source in _files(checkpoint.folder):
        if _any(source.name, OTHER_WEIGHTS) or (source not in known and _holds(source, gone)):
            left_out.append(name)
            continue
        if not _any(name, USUAL):
            besides.append(name)
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source in changed:
            _patched(source, target, sorted(changed[source], key=lambda one: one.begin))
        else:
            shutil.copyfile(source, target)
    if (checkpoint.folder / ".git").exists():
        left_out.append(".git")
    held = [
        name
        for name, one in checkpoint.tensors.items()
        if one.held is None and checkpoint.digests[name] in gone
    ]
    return _notes(left_out, besides, held)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its name relative to it; links are followed, once."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if f not in LEFT_OUT_FOLDERS and not f.endswith(MARK))
        for file in sorted(files):
            path = Path(root, file)
            if not path.is_file():
                raise ModelError(f"{path}: is no file that can be read: restore it, or remove it")
            yield str(path.relative_to(folder)), path


def _patched(source: Path, target: Path, changed: list[StoredTensor]) -> None:
    """Copy a file, the bytes of some tensors replaced."""
    with source.open("rb") as read, target.open("wb") as write:
        for stored in changed:
            _copy(read, write, stored.begin - read.tell())
            for block in stored.blocks():
                write.write(block)
            read.seek(stored.end)
        shutil.copyfileobj(read, write, BLOCK)


def _copy(read: IO[bytes], write: IO[bytes], count: int) -> None:
    while count:
        block = read.read(min(BLOCK, count))
        if not block:
            raise ModelError(f"{read.name}: damaged: it ends too early")
        write.write(block)
        count -= len(block)


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _holds(file: Path, gone: Collection[str]) -> bool:
    """Whether safetensors that transformers does not load hold what was changed."""
    return (
        bool(gone)
        and file.suffix == ".safetensors"
        and any(one.digest() in gone for one in read_header(file))
    )


def _notes(left_out: list[str], besides: list[str], held: list[str]) -> list[str]:
    notes = []
    if left_out:
        notes.append(f"left out, as other copies of the weights would undo the edit: {', '.join(left_out)}")
    if held:
        notes.append(f"still hold what an edited tensor held before, and were not edited: {', '.join(held)}")
    if besides:
        notes.append(f"copied as they are, look at them before you publish: {', '.join(besides)}")
    return notes
