"""Taking an edit off: the last one by its originals, byte for byte; an earlier one to rounding, the error stated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from zu_framework.errors import ModelError, RunFolderError
from zu_framework.linalg import rounded, row_blocks
from zu_framework.models.fingerprint import tensor_digest
from zu_framework.problem import Update
from zu_framework.store.ledger import Entry
from zu_framework.store.matching import compare, named, places
from zu_framework.store.records import EditRecord, SiteRecord
from zu_framework.store.shards import Change, Checkpoint, StoredTensor

# Two machines may round a product differently; what they write then differs in the last places of few entries.
ROUNDING_ULPS = 4

Changes = tuple[dict[str, Change], list[str]]


def put_back(source: Checkpoint, record: EditRecord, run: Path) -> Changes:
    """Find the originals of the last edit in its undo record.

    Args:
        source: The files that carry the edit.
        record: The edit.
        run: Its folder, for messages.

    Returns:
        The originals by their names in the files, and notes.

    Raises:
        RunFolderError: The run kept no undo record.
        ModelError: A weight is not what the edit wrote.
    """
    changes: dict[str, Change] = {}
    notes = []
    for site in record.sites:
        if site.original is None:
            raise RunFolderError(
                f"{run} kept no undo record (output.undo=false): an exact revert is not possible. The original "
                "checkpoint is the only exact copy"
            )
        stored = [one for one in places(source, site, site.after) if one.dtype == site.dtype]
        if not stored:
            found = named(source, site.tensor, site.shape)
            stored = [one for one in found if _written_elsewhere(site, one)]
            if not stored:
                raise ModelError(_other(source, site, found, run))
            notes.append(f"site {site.site.name}: written by a machine that rounds a few entries otherwise")
        changes |= {one.name: Change(site.original, site.before) for one in stored}
    return changes, notes


def check_original(plain: Checkpoint, record: EditRecord, fingerprint: str | None) -> None:
    """Check that a checkpoint is the one before an edit, all tensors of it.

    Args:
        plain: The files with the originals in their places.
        record: The edit.
        fingerprint: Of the files before, where it is known.

    Raises:
        ModelError: It is another.
    """
    model = plain.folder
    if fingerprint is not None:
        if plain.fingerprint.value != fingerprint:
            raise ModelError(
                f"{model} was changed since the edit was put on: once reverted its fingerprint is "
                f"{plain.fingerprint.value[:12]}, expected {fingerprint[:12]}"
            )
    elif record.files is None or record.files.tensors != plain.digests:
        found = compare(record.before, plain)
        if found.differing:
            raise ModelError(
                f"{model} is not the model that this edit wrote: once reverted {len(found.differing)} of {found.total} "
                f"tensors differ from the model before it, {found.differing[0]!r} first"
            )


def take_out(
    source: Checkpoint,
    record: EditRecord,
    later: Sequence[EditRecord],
    entry: Entry,
    kept: Mapping[str, Change],
) -> Changes:
    """Take out an edit that is not the last, or no longer exact.

    Args:
        source: The files that carry it.
        record: The edit.
        later: The edits after it, in order.
        entry: The edit's entry of the ledger.
        kept: Originals by their names in the files, where they are of another dtype than the run's.

    Returns:
        What the tensors will hold, by their names in the files; the error at each site as notes.

    Raises:
        ModelError: A weight is not in the files.
    """
    changes: dict[str, Change] = {}
    notes = []
    for site in record.sites:
        name = site.site.name
        stored = named(source, site.tensor, site.shape)
        if not stored:
            raise ModelError(f"{source.folder}: has no tensor {site.tensor!r}")
        after = [s.steps for other in later for s in other.sites if s.site.name == name]
        reads = kept[stored[0].name].make if stored[0].name in kept else site.original
        made = partial(_without, site, stored[0], after, reads, name in entry.stale)
        digest, told = _digested(*made())
        notes.append(f"site {name}: {told}")
        # made again when it is written, so that one alone is in memory
        changes |= {one.name: Change(partial(_held, made), digest) for one in stored}
    return changes, notes


def _held(made: Callable[[], tuple[Tensor, str]]) -> Tensor:
    return made()[0]


def _digested(held: Tensor, told: str) -> tuple[str, str]:
    return tensor_digest(held), told


def _without(
    site: SiteRecord,
    stored: StoredTensor,
    after: Sequence[Sequence[Update]],
    reads: Callable[[], Tensor] | None,
    stale: bool,
) -> tuple[Tensor, str]:
    """A weight without an edit, as it is stored, and how far that is right."""
    current = site.matrix(stored.read())
    own, later = [*site.steps], [*chain.from_iterable(after)]

    def subtracted(rows: slice) -> Tensor:
        """Rows of the weight with all taken off and the later steps put on again, in float64."""
        found = current[rows].to(torch.float64)
        for step in reversed((*own, *later)):
            found = step.rows(rows).undone(found)
        for step in later:
            found = step.rows(rows).applied(found, torch.float64)
        return found

    new = None if reads is None or stale else site.matrix(reads())
    if new is None or new.dtype != current.dtype:
        ulps = ROUNDING_ULPS * (len(later) + 1)
        limit = ulps * _largest(current) * torch.finfo(current.dtype).eps
        why = "an edit before it is gone" if stale else _no_original(site)
        new = torch.empty_like(current)
        for rows in row_blocks(current):
            new[rows] = subtracted(rows).to(current.dtype)
        told = f"what it added was subtracted ({why}): right to about {limit:.0e} an entry"
        return site.stored(new), told
    for step in later:
        new, _ = rounded(step, new)
    if not later:
        return site.stored(new), "its original is back, byte for byte"
    error = max(float((new[rows].double() - subtracted(rows)).abs().max()) for rows in row_blocks(new))
    told = (
        f"{len(later)} later updates were done again on its original; subtracting instead differs by at most "
        f"{error:.1e}, in entries up to {_largest(new):.1e}"
    )
    return site.stored(new), told


def _largest(matrix: Tensor) -> float:
    """The largest size of an entry, nothing of the matrix's size made."""
    return max(float(matrix[rows].abs().max()) for rows in row_blocks(matrix))


def _no_original(site: SiteRecord) -> str:
    return (
        "the run kept no undo record" if site.original is None else "the run kept no original of these files"
    )


def _other(source: Checkpoint, site: SiteRecord, found: Sequence[StoredTensor], run: Path) -> str:
    if found and found[0].dtype != site.dtype:
        return (
            f"{source.folder}: site {site.site.name} is {found[0].dtype}, the edit was made in {site.dtype}, and {run} "
            "holds no originals of these files: revert by the run folder that the edit was put on from, as `zu apply` "
            "keeps them there"
        )
    return (
        f"{source.folder}: site {site.site.name} is not what this edit wrote: it carries another edit, or none. An "
        "edit under later ones can be taken off a checkpoint that was saved with its ledger/"
    )


def _written_elsewhere(site: SiteRecord, stored: StoredTensor) -> bool:
    """Whether a tensor is this edit to rounding: a machine with another BLAS may have written it."""
    assert site.original is not None
    if stored.dtype != site.dtype:
        return False
    expected, current = site.matrix(site.original()), site.matrix(stored.read())
    for step in site.steps:
        expected, _ = rounded(step, expected)
    scale = float(expected.abs().max()) * torch.finfo(expected.dtype).eps
    return float((expected - current).abs().max()) <= ROUNDING_ULPS * scale
