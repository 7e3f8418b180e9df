"""The one place that writes to a model, and what it needs to take everything back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zu_framework.errors import SolverError
from zu_framework.linalg import rounded, row_blocks
from zu_framework.models import LanguageModel
from zu_framework.models.fingerprint import Fingerprint, tensor_digest
from zu_framework.models.weight_files import is_sound
from zu_framework.problem import Site, Update
from zu_framework.problem.sites import as_matrix


@dataclass(repr=False)
class SiteEdit:
    """All that was done to one weight.

    stored: the parameter before the first update, as the model stores it, in its own dtype, on the CPU. name, aliases,
    transposed: of that parameter. hash_before, hash_after: its digests. steps: the updates in the order written.
    keys: those that each was solved for, (i, n), where the solver had keys. rounding_loss: norm of what storing W' in
    the weight's dtype lost, relative to the norm of the change (of the last step). relative_change: ||W' - W|| / ||W||
    over all steps, as stored.
    """

    site: Site
    stored: Tensor
    hash_before: str
    name: str
    aliases: tuple[str, ...] = ()
    transposed: bool = False
    steps: list[Update] = field(default_factory=list)
    keys: list[Tensor | None] = field(default_factory=list)
    hash_after: str = ""
    rounding_loss: float = 0.0
    relative_change: float = 0.0

    def __repr__(self) -> str:
        steps = len(self.steps)
        return (
            f"SiteEdit({self.name}, {steps} step{'s' * (steps != 1)}, changed by {self.relative_change:.3g})"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the parameter as it is stored."""
        return tuple(self.stored.shape)

    @property
    def original(self) -> Tensor:
        """W (o, i) before the first update: a view."""
        return as_matrix(self.stored, transposed=self.transposed)


class Writer:
    """Writes updates to a model and keeps the original tensor of every weight that it touches.

    before: the model's fingerprint before the first write.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.before = lm.tensor_fingerprint()
        self.edits: dict[str, SiteEdit] = {}

    def write(self, site: Site, update: Update, keys: Tensor | None = None) -> SiteEdit:
        """Write W'; keys (i, n): what it was solved for.

        Raises `SolverError`, the weight unchanged, where W' does not fit into the weight's dtype.
        """
        weight = self.lm.weight(site)
        new, lost = rounded(update, weight)
        if not is_sound(new):
            raise SolverError(
                f"site {site.name!r}: the edited weight holds NaN or infinite entries in {weight.dtype}; "
                "load the model in float32 (model.dtype=float32) or weaken the edit"
            )
        edit = self.edits.get(site.name)
        if edit is None:
            # a copy on the CPU: undo must survive whatever happens on the device
            stored = self.lm.parameter(site).detach().to("cpu", copy=True).contiguous()
            name, *aliases = self.lm.parameter_names(site)
            transposed = self.lm.stores_transposed(site)
            edit = SiteEdit(site, stored, tensor_digest(stored), name, tuple(aliases), transposed)
            self.edits[site.name] = edit
        self.lm.write_weight(site, new)
        edit.steps.append(update)
        edit.keys.append(keys)
        edit.hash_after = self.lm.digest(site)
        edit.rounding_loss = lost
        edit.relative_change = _distance(self.lm.weight(site), edit.original)
        return edit

    @property
    def after(self) -> Fingerprint:
        """The model's fingerprint after what was written so far."""
        return self.before.replaced({edit.name: edit.hash_after for edit in self.edits.values()})

    def restore(self) -> None:
        """Put every original tensor back, bit for bit."""
        for edit in self.edits.values():
            weight = self.lm.weight(edit.site)
            self.lm.write_weight(edit.site, edit.original.to(weight.device))


def _distance(new: Tensor, original: Tensor) -> float:
    changed = total = 0.0
    for rows in row_blocks(original):
        before = original[rows].to(torch.float64)
        after = new[rows].detach().cpu().to(torch.float64)
        changed += float((after - before).square().sum())
        total += float(before.square().sum())
    return (changed / total) ** 0.5 if total > 0 else 0.0
