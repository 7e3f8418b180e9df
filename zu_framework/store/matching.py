"""Whether a checkpoint's files are the model that an edit speaks of, and where in them its weights lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zu_framework.errors import ModelError
from zu_framework.models.fingerprint import DTYPES, Fingerprint, parts_of, tensor_digest
from zu_framework.store.records import EditRecord, SiteRecord
from zu_framework.store.shards import Checkpoint, StoredTensor


@dataclass
class Comparison:
    """How the files differ from a model in memory, by the model's names of tensors.

    Args:
        total: How many tensors were compared.
        by_dtype: Equal once they are in the dtype that the model had in memory.
        differing: Of another shape, or with other entries.
        elsewhere: Not found under any name: the files lay the model out otherwise.
    """

    total: int = 0
    by_dtype: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def compare(memory: Fingerprint, checkpoint: Checkpoint) -> Comparison:
    """Compare files with a model in memory, tensor by tensor; one tensor is read at a time.

    Args:
        memory: The model's fingerprint.
        checkpoint: The files.

    Returns:
        What differs.
    """
    found = Comparison(len(memory.tensors))
    names = _Names(checkpoint)
    held = set(checkpoint.digests.values())
    for name, digest in memory.tensors.items():
        stored = names.find(name, parts_of(digest)[1])
        if not stored:
            if digest not in held:  # else a tied tensor under its other name
                found.elsewhere.append(name)
        elif all(checkpoint.digests[one.name] != digest for one in stored):
            equal = any(cast_digest(one, digest) == digest for one in stored)
            (found.by_dtype if equal else found.differing).append(name)
    return found


def places(checkpoint: Checkpoint, site: SiteRecord, digest: str) -> list[StoredTensor]:
    """Where a weight with known content lies: under its own name, another ending alike, or any with that content.

    Args:
        checkpoint: The files.
        site: The edited weight.
        digest: Of what it holds, in the dtype that the digest speaks of.

    Returns:
        The tensor, and its copies where tied weights are stored twice; empty where none holds that.
    """
    names = _Names(checkpoint)
    alike = [one for one in checkpoint.tensors.values() if one.shape == site.shape]
    for candidates in (names.find(site.tensor, site.shape), alike):
        matching = [
            one for one in candidates if digest in (checkpoint.digests[one.name], cast_digest(one, digest))
        ]
        if matching and (candidates is not alike or len({checkpoint.digests[m.name] for m in matching}) == 1):
            tied = [one for alias in site.aliases for one in names.find(alias, site.shape)]
            content = {checkpoint.digests[one.name] for one in matching}
            copies = [one for one in tied if checkpoint.digests[one.name] in content]
            return list({one.name: one for one in (*matching, *copies)}.values())
    return []


def named(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> list[StoredTensor]:
    """Tensors of a name, or of a name that ends alike.

    Args:
        checkpoint: The files.
        name: Of a model's parameter.
        shape: Of the parameter.

    Returns:
        The tensor, and its copies where tied weights are stored twice; empty where there is none.
    """
    return _Names(checkpoint).find(name, shape)


def check_before(checkpoint: Checkpoint, record: EditRecord) -> list[str]:
    """Check that files are the model that an edit was made on.

    Args:
        checkpoint: The files.
        record: The edit.

    Returns:
        Notes for the user.

    Raises:
        ModelError: They are not; the message says how they differ.
    """
    model, made = checkpoint.folder, _made(record)
    if record.files is not None and record.files.tensors == checkpoint.digests:
        _check_config(checkpoint, record.files.config, made)
        return []
    found = compare(record.before, checkpoint)
    if found.differing:
        edited = {site.tensor for site in record.sites}
        if set(found.differing) <= edited and all(places(checkpoint, s, s.after) for s in record.sites):
            raise ModelError(f"{model} carries this edit already")
        if _narrowed(checkpoint, record):
            raise ModelError(
                f"{model} differs from the model that this edit was made on by dtype alone, by all that can be seen: "
                f"the edit was made in {_dtypes(record)}, and the files hold less; put it on the original, or make the "
                "edit on these files"
            )
        raise ModelError(
            f"{model} is not the model that this edit was made on: {len(found.differing)} of {found.total} tensors "
            f"differ, {found.differing[0]!r} first ({made})"
        )
    if len(found.elsewhere) == found.total:
        raise ModelError(
            f"{model} is not the model that this edit was made on: it has none of its tensors ({made})"
        )
    _check_config(checkpoint, record.before.config, made)
    if not found.elsewhere:
        return []
    return [
        f"{len(found.elsewhere)} of {found.total} tensors are laid out otherwise in the files and were not compared, "
        f"{found.elsewhere[0]!r} first"
    ]


def cast_digest(stored: StoredTensor, digest: str) -> str | None:
    """Digest of a stored tensor in the dtype that another digest speaks of; None where they are not comparable."""
    dtype, shape = parts_of(digest)
    if stored.shape != shape or stored.dtype == dtype or stored.dtype not in DTYPES:
        return None
    return tensor_digest(stored.read().to(DTYPES[dtype]))


class _Names:
    """Tensors of a checkpoint by name, or by a name that ends alike: prefixes differ between files and models."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = checkpoint.tensors
        self.endings: dict[str, list[StoredTensor]] = {}
        for name, one in checkpoint.tensors.items():
            for ending in _endings(name):
                self.endings.setdefault(ending, []).append(one)

    def find(self, name: str, shape: tuple[int, ...]) -> list[StoredTensor]:
        """The tensor of that name; else those of its shape whose name, or its own, ends with the other."""
        if name in self.tensors:
            return [self.tensors[name]]
        for ending in _endings(name):
            found = [one for one in self.endings.get(ending, ()) if one.shape == shape]
            if found:
                return found
        return []


def _endings(name: str) -> Iterator[str]:
    """A dotted name, then what is left of it part by part, down to its last two parts."""
    parts = name.split(".")
    for start in range(max(1, len(parts) - 1)):
        yield ".".join(parts[start:])


def _narrowed(checkpoint: Checkpoint, record: EditRecord) -> bool:
    """Whether each edited weight's original, rounded to the files' dtype, is what the files hold."""
    names = _Names(checkpoint)
    for site in record.sites:
        found = names.find(site.tensor, site.shape)
        if site.original is None or not found or found[0].dtype not in {*DTYPES} - {site.dtype}:
            return False
        rounded = site.original().to(DTYPES[found[0].dtype])
        if tensor_digest(rounded) != checkpoint.digests[found[0].name]:
            return False
    return True


def _check_config(checkpoint: Checkpoint, recorded: Mapping[str, Any], made: str) -> None:
    """Entries that both configs have are equal; those of one alone are a version's defaults."""
    differing = list(_differing(recorded, checkpoint.fingerprint.config))
    if differing:
        key, was, now = differing[0]
        raise ModelError(
            f"{checkpoint.folder} is not the model that this edit was made on: config.json has {key} {now!r}, "
            f"it was {was!r} ({made})"
        )


def _differing(
    was: Mapping[str, Any], now: Mapping[str, Any], where: str = ""
) -> Sequence[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(was.keys() & now.keys()):
        old, new = was[key], now[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differing(old, new, f"{where}{key}.")
        elif old != new:
            found.append((f"{where}{key}", old, new))
    return found


def _made(record: EditRecord) -> str:
    versions = record.about.get("versions")
    version = versions.get("transformers", "unknown") if isinstance(versions, Mapping) else "unknown"
    return f"the edit was made with transformers {version}"


def _dtypes(record: EditRecord) -> str:
    return ", ".join(sorted({site.dtype for site in record.sites}))
