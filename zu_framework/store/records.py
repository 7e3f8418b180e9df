"""What an edit is, and its file `edit.safetensors`: what to add to which weights, and on which model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import RunFolderError, SolverError
from zu_framework.models.fingerprint import Fingerprint, parts_of
from zu_framework.problem import Site, Update
from zu_framework.problem.sites import as_matrix, as_stored
from zu_framework.store.fields import Fields
from zu_framework.store.lazy import Lazy
from zu_framework.store.shards import StoredTensor
from zu_framework.store.tensor_files import check_description, find_tensors, save_tensors, wild_tensor

EDIT_FILE = "edit.safetensors"
FORMAT = 2


@dataclass(frozen=True)
class SiteRecord:
    """One edited weight.

    Args:
        site: Where it is in the model.
        tensor: The parameter's name.
        aliases: Other names of the same parameter, where weights are tied.
        shape: Of the parameter as it is stored.
        transposed: Whether it is stored as (i, o).
        before: Digest of the parameter before the edit, in the run's dtype.
        after: Digest of it afterwards.
        steps: The updates, in the order written; of an edit on disk each is read whenever it is asked for.
        keys: What each step was solved for, (i, n), where the solver had keys; read as the steps are.
        original: Reads the parameter before the edit, as it is stored; None where the run kept no undo.
        relative_change: ||W' - W|| / ||W||.
    """

    site: Site
    tensor: str
    shape: tuple[int, ...]
    transposed: bool
    before: str
    after: str
    steps: Sequence[Update]
    keys: Sequence[Tensor | None] = ()
    original: Callable[[], Tensor] | None = None
    relative_change: float = 0.0
    aliases: tuple[str, ...] = ()

    @property
    def dtype(self) -> str:
        """The run's dtype of the weight, as safetensors calls it."""
        return parts_of(self.before)[0]

    def matrix(self, stored: Tensor) -> Tensor:
        """A parameter seen as W (o, i)."""
        return as_matrix(stored, transposed=self.transposed)

    def stored(self, matrix: Tensor) -> Tensor:
        """W (o, i) seen as the parameter."""
        return as_stored(matrix, self.shape, transposed=self.transposed)


@dataclass(frozen=True)
class EditRecord:
    """An edit as read back.

    Args:
        sites: In the order written.
        about: What the run was: model, dtype, solver, versions, number of requests ...
        before: Of the model in memory before the edit.
        files: Of the checkpoint's files that it was loaded from; None where it came from elsewhere.
        digest: Of all that the file of the edit holds.
    """

    sites: tuple[SiteRecord, ...]
    before: Fingerprint
    files: Fingerprint | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def fingerprint_before(self) -> str:
        """Of the model that the edit was made on, in memory."""
        return self.before.value

    @property
    def fingerprint_after(self) -> str:
        """Of the edited model, in memory."""
        return self.before.replaced({site.tensor: site.after for site in self.sites}).value

    @property
    def id(self) -> str:
        """What the edit is known by: the models before and after, and nothing of what was asked."""
        return f"{self.fingerprint_before[:12]}-{self.fingerprint_after[:12]}"


def save_edit(path: Path, record: EditRecord) -> None:
    """Write the file of an edit: all of a record but the originals.

    Args:
        path: The file.
        record: The edit.

    Raises:
        RunFolderError: It cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    listed = []
    for one in record.sites:
        for number, (step, keys) in enumerate(zip(one.steps, one.keys, strict=True)):
            parts = {"left": step.left, "right": step.right, "dense": step.dense, "keys": keys}
            tensors |= {f"{one.site.name}/{number}/{k}": v for k, v in parts.items() if v is not None}
        listed.append(
            {
                **asdict(one.site),
                "tensor": one.tensor,
                "aliases": list(one.aliases),
                "shape": list(one.shape),
                "transposed": one.transposed,
                "before": one.before,
                "after": one.after,
                "relative_change": one.relative_change,
                "steps": [{"kind": step.kind, "scale": step.scale} for step in one.steps],
            }
        )
    files = None if record.files is None else asdict(record.files)
    about = {"format": FORMAT, "about": dict(record.about), "sites": listed, "files": files}
    save_tensors(path, tensors, {**about, "before": asdict(record.before)})


def read_edit(path: Path) -> EditRecord:
    """Read the file of an edit, wherever it lies; of its tensors one is in memory at a time.

    Args:
        path: The file, which must stay where it is for as long as the edit is used.

    Returns:
        The edit without its originals.

    Raises:
        RunFolderError: The file is missing, foreign, damaged, or holds no edit.
    """
    tensors, fields = find_tensors(path)
    known_format(fields)
    listed = fields.objects("sites")
    if not listed:
        raise fields.wrong("sites", "is empty: no weight is edited")
    before = _fingerprint(fields, "before")
    assert before is not None
    record = EditRecord(
        tuple(_site(entry, tensors) for entry in listed),
        before,
        _fingerprint(fields, "files"),
        fields.mapping("about"),
        fields.text("digest"),
    )
    check_description(fields)
    wild = wild_tensor(tensors)
    if wild is not None:
        raise RunFolderError(f"{path} is damaged: {wild!r} holds NaN or infinite entries")
    return record


def known_format(fields: Fields) -> None:
    """Check a file's format. Raises `RunFolderError` where this version does not read it."""
    found = fields.whole("format")
    if found < FORMAT:
        raise RunFolderError(
            f"{fields.path} has format {found}, this version reads {FORMAT}: use the zu_framework that made it"
        )
    if found > FORMAT:
        raise RunFolderError(
            f"{fields.path} has format {found}, this version reads {FORMAT}: update zu_framework"
        )


def _fingerprint(fields: Fields, name: str) -> Fingerprint | None:
    if name == "files" and fields.values.get(name) is None:
        return None
    inner = fields.inner(name)
    return Fingerprint(digests_in(inner, "tensors"), inner.mapping("config"))


def digest_in(fields: Fields, name: str) -> str:
    """Read a field that holds a digest of a tensor. Raises `RunFolderError` where it holds none."""
    found = fields.text(name)
    try:
        parts_of(found)
    except ValueError as cause:
        raise fields.wrong(name, f"is no digest: {found!r}") from cause
    return found


def digests_in(fields: Fields, name: str) -> dict[str, str]:
    """Read a field that holds digests of tensors by name. Raises `RunFolderError` where one is none."""
    inner = fields.inner(name)
    return {key: digest_in(inner, key) for key in inner.values}


def _site(entry: Fields, tensors: Mapping[str, StoredTensor]) -> SiteRecord:
    site = Site(
        entry.text("module"),
        entry.whole("layer"),
        entry.text("block"),
        entry.truth("residual_stream"),
        entry.text("parameter"),
    )
    shape = tuple(entry.listed("shape"))
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise entry.wrong("shape", f"is {list(shape)!r}, not the shape of a weight")
    steps = entry.objects("steps")
    if not steps:
        raise entry.wrong("steps", "is empty: nothing is written")
    parts = [
        {k: tensors.get(f"{site.name}/{n}/{k}") for k in ("left", "right", "dense", "keys")}
        for n in range(len(steps))
    ]
    found = SiteRecord(
        site,
        entry.text("tensor"),
        shape,
        entry.truth("transposed"),
        digest_in(entry, "before"),
        digest_in(entry, "after"),
        Lazy([partial(_step, step, part) for step, part in zip(steps, parts, strict=True)]),
        Lazy([partial(_read, part["keys"]) for part in parts]),
        relative_change=entry.number("relative_change"),
        aliases=tuple(map(str, entry.listed("aliases"))),
    )
    wanted = tuple(found.matrix(torch.empty(shape, device="meta")).shape)
    for number, (step, part) in enumerate(zip(steps, parts, strict=True)):
        shape = _step(step, part, _shaped).shape
        if shape != wanted:
            raise entry.wrong(f"steps.{number}", f"changes a weight of shape {shape}, the site has {wanted}")
    return found


def _read(stored: StoredTensor | None) -> Tensor | None:
    return None if stored is None else stored.read()


def _shaped(stored: StoredTensor | None) -> Tensor | None:
    """A tensor of that shape, which takes no memory."""
    return None if stored is None else torch.empty(stored.shape, device="meta")


def _step(
    entry: Fields,
    parts: Mapping[str, StoredTensor | None],
    read: Callable[[StoredTensor | None], Tensor | None] = _read,
) -> Update:
    left, right, dense = (read(parts[name]) for name in ("left", "right", "dense"))
    try:
        return Update(left=left, right=right, dense=dense, scale=entry.number("scale"))
    except SolverError as cause:
        raise entry.wrong("", f"is no update: {cause}") from cause
