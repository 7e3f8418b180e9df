"""Safetensors files of ours: a description as JSON, and a digest of everything, checked whenever one is read."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zu_framework.errors import ModelError, RunFolderError
from zu_framework.files import whole_file
from zu_framework.models.fingerprint import tensor_digests
from zu_framework.models.weight_files import is_sound
from zu_framework.store.fields import Fields
from zu_framework.store.shards import StoredTensor, read_header

KEY = "zu"  # of the safetensors' metadata


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any], *, private: bool = True
) -> None:
    """Write tensors, what they are, and a digest of each and of the description.

    Args:
        path: The file, which appears whole or not at all.
        tensors: By name, of any device.
        about: What JSON can hold.
        private: Readable by its owner alone, whatever the umask.

    Raises:
        RunFolderError: The file cannot be written.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole = json.loads(json.dumps({**about, "digests": tensor_digests(kept)}))
    described = json.dumps(with_digest(whole))
    with whole_file(path, private=private) as partial:
        save_file(kept, partial, metadata={KEY: described})


def save_parts(
    path: Path,
    parts: Mapping[str, StoredTensor],
    about: Mapping[str, Any],
    digests: Mapping[str, str],
    *,
    private: bool = True,
) -> None:
    """Write tensors of other files as `save_tensors` would, one block at a time.

    Args:
        path: The file, which appears whole or not at all.
        parts: Where each tensor lies.
        about: What JSON can hold.
        digests: Of the tensors, at least.
        private: Readable by its owner alone, whatever the umask.

    Raises:
        RunFolderError: The file cannot be written.
        ModelError: A source ends too early.
    """
    described = json.dumps(with_digest({**about, "digests": {name: digests[name] for name in parts}}))
    header: dict[str, Any] = {"__metadata__": {KEY: described}}
    end = 0
    for name, part in parts.items():
        begin, end = end, end + part.end - part.begin
        header[name] = {"dtype": part.dtype, "shape": list(part.shape), "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with whole_file(path, private=private) as partial, partial.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for part in parts.values():
            for block in part.blocks():
                file.write(block)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], Fields]:
    """Read tensors and their description.

    Args:
        path: A file that `save_tensors` wrote.

    Returns:
        Tensors by name, on the CPU, and the description.

    Raises:
        RunFolderError: The file is missing, foreign, or does not hold what was written.
    """
    fields = described(path)
    try:
        with safe_open(path, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as cause:
        raise RunFolderError(f"{path} is damaged or no safetensors file: {cause}") from cause
    _check_digests(path, fields, tensor_digests(tensors))
    return tensors, fields


def find_tensors(path: Path) -> tuple[dict[str, StoredTensor], Fields]:
    """Find tensors and their description; each is checked block by block, and read when it is wanted.

    Args:
        path: A file that `save_tensors` or `save_parts` wrote.

    Returns:
        Where each tensor lies, by name, and the description.

    Raises:
        RunFolderError: The file is missing, foreign, or does not hold what was written.
    """
    fields = described(path)
    try:
        tensors = {stored.name: stored for stored in read_header(path)}
        digests = {name: stored.digest() for name, stored in tensors.items()}
    except (ModelError, OSError) as cause:
        raise RunFolderError(f"{path} is damaged: {cause}") from cause
    _check_digests(path, fields, digests)
    return tensors, fields


def _check_digests(path: Path, fields: Fields, found: Mapping[str, str]) -> None:
    listed = fields.texts("digests")
    for name in sorted({*listed, *found}):
        if name not in found:
            raise RunFolderError(f"{path} is damaged: tensor {name!r} is missing")
        if listed.get(name) != found[name]:
            raise RunFolderError(
                f"{path} is damaged: tensor {name!r} is not what was written (its digest differs)"
            )


def described(path: Path) -> Fields:
    """Read the description of a file alone.

    Args:
        path: A file that `save_tensors` wrote.

    Returns:
        The description.

    Raises:
        RunFolderError: The file is missing or foreign.
    """
    if not path.is_file():
        raise RunFolderError(f"{path} does not exist")
    try:
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError) as cause:
        raise RunFolderError(f"{path} is damaged or no safetensors file: {cause}") from cause
    if KEY not in metadata:
        raise RunFolderError(f"{path} was not written by zu_framework (no metadata)")
    return Fields.parse(path, metadata[KEY])


def check_description(fields: Fields) -> None:
    """Check a description against its own digest, once its fields are known to have the right types.

    Args:
        fields: As `load_tensors` returns them.

    Raises:
        RunFolderError: The description is not what was written.
    """
    if fields.text("digest") != with_digest(fields.values)["digest"]:
        raise RunFolderError(
            f"{fields.path} is damaged: its description is not what was written (its digest differs)"
        )


def check_digested(fields: Fields) -> None:
    """Check a description against its own digest where it has one: earlier versions wrote none.

    Args:
        fields: Of a JSON file.

    Raises:
        RunFolderError: It is not what was written.
    """
    if "digest" in fields.values:
        check_description(fields)


def with_digest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add the digest that `check_description` checks.

    Args:
        values: What JSON can hold; a digest in it is made anew.

    Returns:
        The same, and `digest`.
    """
    whole = {name: value for name, value in values.items() if name != "digest"}
    return {**whole, "digest": json_digest(whole)}


def json_digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: keys sorted, no spaces.

    Args:
        value: What JSON can hold.

    Returns:
        The digest in hexadecimal.
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON: keys sorted, no spaces, ASCII.

    Args:
        value: What JSON can hold.

    Returns:
        The text's bytes.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def wild_tensor(tensors: Mapping[str, StoredTensor]) -> str | None:
    """Look for entries that are no finite numbers, one tensor after the other.

    Args:
        tensors: By name.

    Returns:
        The name of the first tensor with one, or None.
    """
    for name, tensor in tensors.items():
        if not is_sound(tensor.read()):
            return name
    return None
