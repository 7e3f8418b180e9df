"""Solving: what a solver sees of one site put together, its answer checked, the same update handed to all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zu_framework.contracts import RunContext
from zu_framework.distribution import Division
from zu_framework.errors import SolverError
from zu_framework.models import LanguageModel
from zu_framework.problem import Background, EditProblem, Representations, Request, Site, TargetStates, Update
from zu_framework.registry import Chosen, Registered
from zu_framework.specs import ModelSolverSpec, SolverSpec
from zu_framework.store.factors import Factors


@dataclass(frozen=True)
class Solved:
    """One solved problem, and what it was put together from."""

    problem: EditProblem
    read: Representations
    states: TargetStates
    update: Update


@dataclass(frozen=True)
class SiteSolver:
    """A stage's solver at work.

    Args:
        chosen: The solver with its options.
        division: The first process solves, and all get the update.
        factors: What is computed once for a site and found again.
    """

    chosen: Chosen
    division: Division
    factors: Factors

    def solve(
        self,
        site: Site,
        weight: Tensor,
        read: Representations,
        states: TargetStates,
        background: Background,
        *,
        earlier_keys: Tensor | None = None,
        retain_keys: Tensor | None = None,
        written: bool = False,
    ) -> Solved:
        """Solve one site.

        Args:
            site: Of the model.
            weight: W (o, i), in its own dtype.
            read: What the collector read.
            states: What the target builder wants.
            background: Moments of general text.
            earlier_keys: Keys (i, m) of edits that the model carries, from a file perhaps.
            retain_keys: Keys (i, r) of facts to retain.
            written: Whether the site was written before, in this edit.

        Raises:
            SolverError: The problem lacks what the solver declared, or the answer is no update of the weight's shape.
        """
        solver, options, needs = self.chosen.registered, self.chosen.options, self.chosen.needs
        problem = problem_at(weight, read, states, background.only(needs), needs, earlier_keys, retain_keys)
        found = []
        if self.division.solves:
            factor = self.factors.of(solver, options, problem.background, problem.weight, written=written)
            found = [(site, solve_with(solver, problem, options, factor))]
        [(_, update)] = self.division.everywhere(found)
        return Solved(problem, read, states, update)


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

    def needed(name: str, tensor: Tensor | None) -> Tensor | None:
        return tensor.to(weight.device) if tensor is not None and name in needs else None

    # of a spread model, sites lie on several devices
    return EditProblem(
        weight=weight if weight.dtype in (torch.float32, torch.float64) else weight.float(),
        keys=read.keys.to(weight.device),
        values=read.values.to(weight.device),
        targets=states.targets.to(weight.device),
        sensitive=needed("sensitive", states.sensitive),
        background=background,
        earlier_keys=None if earlier_keys is None else earlier_keys.to(weight.device, read.keys.dtype),
        bare_keys=needed("bare_keys", read.bare_keys),
        retain_keys=needed("retain_keys", retain_keys),
    )


def solve_with(solver: Registered, problem: EditProblem, options: Any, factor: Any = None) -> Update:
    """Call a site solver and check its answer.

    Args:
        solver: Its registration.
        problem: The site.
        options: The options dataclass of the registration.
        factor: What its `prepare` returned, where it has one.

    Raises:
        SolverError: The problem lacks what the solver declared, or the answer is no update of the weight's shape.
    """
    spec = solver.spec
    assert isinstance(spec, SolverSpec)
    for need in sorted(spec.needs_of(options) & {"sensitive", "bare_keys", "retain_keys"}):
        if getattr(problem, need) is None:
            raise SolverError(f"solver {spec.name!r} needs `{need}`, which this problem does not carry")
    given = () if spec.prepare is None else (factor,)
    return checked_update(solver.load()(problem, options, *given), problem, f"solver {spec.name!r}")


def solve_model(
    solver: Chosen, lm: LanguageModel, requests: Sequence[Request], sites: Sequence[Site], context: RunContext
) -> list[tuple[Site, Update]]:
    """Call a model solver and check what it returns: an update of the right shape for each parameter, named once."""
    spec = solver.spec
    assert isinstance(spec, ModelSolverSpec)
    returned = list(solver.load()(lm, requests, sites, solver.options, context))
    named: set[str] = set()
    for site, update in returned:
        if not isinstance(site, Site) or not isinstance(update, Update):
            raise SolverError(f"solver {spec.name!r} returned {site!r}: {update!r}, expected (Site, Update)")
        if site.name in named:
            raise SolverError(
                f"solver {spec.name!r} returned two updates of {site.name!r}: fold them into one"
            )
        named.add(site.name)
        wanted = tuple(lm.weight(site).shape)
        if update.shape != wanted:
            raise SolverError(
                f"solver {spec.name!r} returned an update of shape {update.shape} for W {wanted}"
            )
    return returned


def checked_update(update: Any, problem: EditProblem, name: str) -> Update:
    """Return what a solver returned.

    Raises:
        SolverError: It is no update of the weight's shape.
    """
    if not isinstance(update, Update):
        raise SolverError(f"{name} returned {type(update).__name__}, expected an Update")
    shape = tuple(problem.weight.shape)
    if update.shape != shape:
        raise SolverError(f"{name} returned an update of shape {update.shape} for W {shape}")
    return update
