"""What a solver sees of one site, put together from what collector and target builder gave."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zu_framework.problem import Background, EditProblem, ReadPlan, Representations, TargetStates


@dataclass(frozen=True)
class Solved:
    """One solved problem, and what it was put together from."""

    problem: EditProblem
    read: Representations
    states: TargetStates

    def tensors(self, before: Tensor, after: Tensor) -> dict[str, Tensor | None]:
        """Return all of it by name, with the weight before and after the write."""
        problem = self.problem
        return {
            "keys": self.read.keys,
            "values": self.read.values,
            "targets": self.states.targets,
            "sensitive": problem.sensitive,
            "weight_before": before,
            "weight_after": after,
            **self.states.states,
            "key_moment": problem.background.key_moment,
            "value_moment": problem.background.value_moment,
        }


def with_note(states: TargetStates, note: str) -> TargetStates:
    """Return target states whose report holds one note more."""
    notes = [*states.report.get("notes", ()), note]
    return replace(states, report={**states.report, "notes": notes})


def bare(plan: ReadPlan) -> ReadPlan:
    """Return the plan of the bare prompts alone."""
    return replace(plan, prompts=tuple(row[:1] for row in plan.prompts), weights=(1.0,))


def problem_at(
    weight: Tensor,
    read: Representations,
    states: TargetStates,
    background: Background,
    needs: frozenset[str],
    earlier_keys: Tensor | None,
    retain_keys: Tensor | None,
) -> EditProblem:
    """Return what a solver sees of one site, all on the weight's device.

    Args:
        weight: W (o, i), in its own dtype. The algebra reads float32 at least: bf16 and f16 are exact there.
        read: What the collector read.
        states: What the target builder wants.
        background: Moments of general text.
        needs: What the solver needs: nothing else is handed to it.
        earlier_keys: Keys (i, m) of edits that the model carries, from a file perhaps.
        retain_keys: Keys (i, r) of facts to retain.
    """

    def there(tensor: Tensor | None, need: str = "") -> Tensor | None:
        wanted = tensor is not None and (not need or need in needs)
        return tensor.to(weight.device) if tensor is not None and wanted else None

    # of a spread model, sites lie on several devices
    return EditProblem(
        weight=weight if weight.dtype in (torch.float32, torch.float64) else weight.float(),
        keys=read.keys.to(weight.device),
        values=read.values.to(weight.device),
        targets=states.targets.to(weight.device),
        sensitive=there(states.sensitive, "sensitive"),
        background=background,
        earlier_keys=None if earlier_keys is None else earlier_keys.to(weight.device, read.keys.dtype),
        bare_keys=there(read.bare_keys, "bare_keys"),
        retain_keys=there(retain_keys),
    )
