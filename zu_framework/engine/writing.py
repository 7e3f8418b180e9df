"""The one place that writes to a model, and what it needs to take everything back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zu_framework.errors import SolverError
from zu_framework.linalg import ROWS, rounded
from zu_framework.models import LanguageModel
from zu_framework.problem import Site, Update
from zu_framework.store.digests import tensor_hash


@dataclass
class SiteEdit:
    """All that was done to one weight.

    steps: the updates in the order written; keys: those that each was solved for, (i, n), where the solver had keys.
    original (o, i): the tensor before the first, in its own dtype, on the
    CPU. rounding_loss: norm of what storing W' in the weight's dtype lost, relative to the norm of the change (of
    the last step). relative_change: ||W' - W|| / ||W|| over all steps, as stored.
    """

    site: Site
    original: Tensor
    hash_before: str
    steps: list[Update] = field(default_factory=list)
    keys: list[Tensor | None] = field(default_factory=list)
    hash_after: str = ""
    rounding_loss: float = 0.0
    relative_change: float = 0.0


class Writer:
    """Writes updates to a model and keeps the original tensor of every weight that it touches."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.edits: dict[str, SiteEdit] = {}

    def write(self, site: Site, update: Update, keys: Tensor | None = None) -> SiteEdit:
        """Write W'; keys (i, n): what it was solved for.

        Raises `SolverError`, the weight unchanged, where W' does not fit into the weight's dtype.
        """
        weight = self.lm.weight(site)
        new, lost = rounded(update, weight)
        if not bool(torch.isfinite(new).all()):
            raise SolverError(
                f"site {site.name!r}: the edited weight holds NaN or infinite entries in {weight.dtype}; "
                "load the model in float32 (model.dtype=float32) or weaken the edit"
            )
        edit = self.edits.get(site.name)
        if edit is None:
            # a copy on the CPU: undo must survive whatever happens on the device
            original = weight.detach().to("cpu", copy=True).contiguous()
            edit = self.edits[site.name] = SiteEdit(site, original, tensor_hash(original))
        self.lm.write_weight(site, new)
        edit.steps.append(update)
        edit.keys.append(keys)
        edit.hash_after = tensor_hash(self.lm.weight(site))
        edit.rounding_loss = lost
        edit.relative_change = _distance(self.lm.weight(site), edit.original)
        return edit

    def restore(self) -> None:
        """Put every original tensor back, bit for bit."""
        for edit in self.edits.values():
            weight = self.lm.weight(edit.site)
            self.lm.write_weight(edit.site, edit.original.to(weight.device))


def _distance(new: Tensor, original: Tensor) -> float:
    changed = total = 0.0
    for start in range(0, original.shape[0], ROWS):
        before = original[start : start + ROWS].to(torch.float64)
        after = new[start : start + ROWS].detach().cpu().to(torch.float64)
        changed += float((after - before).square().sum())
        total += float(before.square().sum())
    return (changed / total) ** 0.5 if total > 0 else 0.0
