"""The contract of a solver as a test class: two overrides, and a stranger's solver is held to what ours are."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from zu_framework.specs import MOMENTS
from zu_framework.testing.problems import Shape, edit_problem, shapes
from zu_framework.testing.solver_factors import FactorLaws
from zu_framework.testing.solver_laws import DeclaredLaws
from zu_framework.testing.solver_subject import examples, parts_of

_TENSORS = (
    "weight",
    "keys",
    "values",
    "targets",
    "sensitive",
    "bare_keys",
    "retain_keys",
    "earlier_keys",
)


class SolverContract(DeclaredLaws, FactorLaws):
    """Subclass it, name the solver, and give its dense reference; every law that it declares is then checked.

        class TestRidgeRemap(SolverContract):
            solver = "ridge-remap"

            def dense_reference(self, problem): ...
            def objective(self, problem, weight): ...

    What is required: an update of the shape of W whose report holds finite `residual`, `condition_number` and
    `relative_norm`, and `rank`; the dense formula's result in float64, and up to rounding in float32; the same bits for
    the same problem; no input written to; the declared laws; where the registration names a `prepare`, a factor that
    follows from what is listed there alone. A law that is not declared is skipped, with the reason. Problems hold keys
    of earlier edits, keys to retain and measured value moments now and then: a reference must count what its solver
    reads. A refusal (`DependentRows`, `DependentKeys`, `EmptyNullSpace`) is a result too: such problems are passed
    over.

    Attributes:
        solver: Its name.
        options: As `zu.solve(solver, problem, **options)`.
        tolerance: Relative, in float64.
        tolerance_float32: Relative, for float32 weights.
    """

    @examples
    @given(shape=shapes())
    def test_it_equals_its_dense_reference(self, shape: Shape) -> None:
        """The edited weight is the formula's, over shapes, scales and rank loss, in float64."""
        problem = edit_problem(shape)
        update = self._solved(problem)
        self._close(update.applied(problem.weight, torch.float64), self._reference(problem), self.tolerance)

    @examples
    @given(shape=shapes(dtypes=(torch.float32,)))
    def test_it_serves_float32_weights(self, shape: Shape) -> None:
        """In float32 the weight is the formula's up to rounding, where the problem is a well conditioned one."""
        shape = replace(shape, weight_rank=None, scale=1.0, duplicates=0, text_tokens=96)
        assume(shape.outputs + 2 <= shape.inputs and shape.requests <= shape.inputs // 2)
        problem = edit_problem(shape)
        after = self._solved(problem).apply(problem.weight)
        assert after.dtype == torch.float32
        self._close(after.double(), self._reference(problem), self.tolerance_float32)

    @examples
    @given(shape=shapes())
    def test_inputs_stay_as_they_are(self, shape: Shape) -> None:
        """No tensor of the problem is written to."""
        problem = edit_problem(shape)
        holders = {name: problem for name in _TENSORS} | {name: problem.background for name in MOMENTS}
        before = {
            name: tensor.clone()
            for name, holder in holders.items()
            if (tensor := getattr(holder, name)) is not None
        }
        self._solved(problem)
        for name, tensor in before.items():
            assert torch.equal(getattr(holders[name], name), tensor), f"{name} was written to"

    @examples
    @given(shape=shapes())
    def test_the_same_problem_gives_the_same_bits(self, shape: Shape) -> None:
        """Determinism: nothing that an earlier solve left behind changes a later one."""
        problem = edit_problem(shape)
        first, again = self._solved(problem), self._solved(problem)
        elsewhere = self._solved(edit_problem(shape))
        for other in (again, elsewhere):
            for ours, theirs in zip(parts_of(first), parts_of(other), strict=True):
                assert torch.equal(ours, theirs)

    @examples
    @given(shape=shapes(), same=st.booleans())
    def test_the_answer_is_finite_under_rank_loss(self, shape: Shape, same: bool) -> None:
        """Repeated requests, zero sensitive values: never a NaN, nor a change without bound."""
        problem = edit_problem(replace(shape, duplicates=shape.requests - 1))
        if same:
            problem = replace(problem, sensitive=torch.zeros_like(problem.values))
        update = self._solved(problem)
        assert all(bool(torch.isfinite(part).all()) for part in parts_of(update))
        for name in ("residual", "condition_number", "relative_norm"):
            assert math.isfinite(float(update.report[name])), f"report[{name!r}] is not finite"
        assert "rank" in update.report

    @examples
    @given(shape=shapes())
    def test_factored_equals_dense(self, shape: Shape) -> None:
        """W + delta is W', and the report's norm is that of the change."""
        problem = edit_problem(shape)
        update = self._solved(problem)
        after = update.applied(problem.weight, torch.float64)
        self._close(problem.weight.double() + update.delta(problem.weight), after, self.tolerance)
        norm = float(update.delta(problem.weight).norm() / problem.weight.double().norm())
        assert math.isclose(float(update.report["relative_norm"]), norm, rel_tol=1e-5, abs_tol=1e-9)
