"""A solver under test: what a subclass says of it, and how its contract solves and compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, assume, settings
from torch import Tensor

from zu_framework.engine.alone import solve
from zu_framework.errors import DependentKeys, DependentRows, EmptyNullSpace
from zu_framework.problem import EditProblem, Update
from zu_framework.registry import installed_plugins
from zu_framework.specs import SolverSpec

# Subclasses share these tests, each with a solver of its own: Hypothesis warns of that, and means fixtures with state.
# The machine's speed is no law of a solver.
examples = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)

REFUSALS = (DependentKeys, DependentRows, EmptyNullSpace)


class SolverSubject:
    """The solver under test, its dense reference, and the other things that its laws are checked against."""

    solver: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-8
    tolerance_float32: ClassVar[float] = 1e-4

    # What a subclass says

    def dense_reference(self, problem: EditProblem) -> Tensor:
        """Return the edited weight by the plain dense formula; must be overridden.

        Args:
            problem: The site.

        Returns:
            W' (o, i), in float64.
        """
        raise NotImplementedError("give the solver's dense float64 formula")

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        """Return what the solver minimises; to be given for the law `objective`.

        Args:
            problem: The site.
            weight: Where it is taken, (o, i).

        Returns:
            A scalar, differentiable in `weight`.
        """
        raise NotImplementedError(
            "give the objective, or drop the law 'objective' from the solver's registration"
        )

    def minimiser(self, problem: EditProblem, update: Update) -> Tensor:
        """Return where the slope must vanish: W', unless a step such as a projection follows.

        Args:
            problem: The site.
            update: What the solver returned.

        Returns:
            (o, i), in float64.
        """
        return update.applied(problem.weight, torch.float64)

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        """Return the part of a direction that the solver may move in: all, unless it moves in a subspace.

        Args:
            problem: The site.
            direction: (o, i).

        Returns:
            (o, i).
        """
        return direction

    def expected_on_sensitive(self, problem: EditProblem) -> Tensor:
        """Return `Q^T W' K` for the law `orthogonality`: zero, unless the solver leaves some slack.

        Args:
            problem: The site.

        Returns:
            (r, n), in float64.
        """
        return torch.zeros(self._basis(problem).shape[1], problem.keys.shape[1], dtype=torch.float64)

    # How it is checked

    def _solved(self, problem: EditProblem) -> Update:
        try:
            return solve(self.solver, problem, **self.options)
        except REFUSALS:
            assume(False)
            raise

    def _reference(self, problem: EditProblem) -> Tensor:
        return self.dense_reference(problem).double()

    def _declares(self, law: str) -> None:
        spec = installed_plugins().registry.get("solver", self.solver).spec
        assert isinstance(spec, SolverSpec)
        if law not in spec.laws:
            pytest.skip(f"solver {self.solver!r} does not declare the law {law!r}")

    def _basis(self, problem: EditProblem) -> Tensor:
        assert problem.sensitive is not None
        left, sizes, _ = torch.linalg.svd(problem.sensitive.double(), full_matrices=False)
        basis: Tensor = left[:, sizes > 1e-5 * sizes[0].clamp_min(1e-300)]
        return basis

    @staticmethod
    def _close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
        error = float((ours - theirs).norm()) / max(float(theirs.norm()), 1e-300)
        assert error <= tolerance, f"relative error {error:.2e}, allowed {tolerance:.0e}"


def parts_of(update: Update) -> Iterator[Tensor]:
    """Yield the tensors that an update holds: its factors, or its dense change."""
    for part in (update.left, update.right, update.dense):
        if part is not None:
            yield part
