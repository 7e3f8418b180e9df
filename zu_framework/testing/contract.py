"""The contract of a solver as a test class: two overrides, and a stranger's solver is held to what ours are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from zu_framework.engine.solving import solve
from zu_framework.errors import DependentKeys, DependentRows, EmptyNullSpace
from zu_framework.problem import EditProblem, Update
from zu_framework.registry.manager import installed_plugins
from zu_framework.specs import SolverSpec
from zu_framework.store.adapter import write_lora
from zu_framework.testing.problems import Shape, edit_problem, shapes

# Subclasses share these tests, each with a solver of its own: Hypothesis warns of that, and means fixtures with state.
# The machine's speed is no law of a solver.
_examples = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)

REFUSALS = (DependentKeys, DependentRows, EmptyNullSpace)


class SolverContract:
    """Subclass it, name the solver, and give its dense reference; every law that it declares is then checked.

        class TestRidgeRemap(SolverContract):
            solver = "ridge-remap"

            def dense_reference(self, problem): ...
            def objective(self, problem, weight): ...

    solver, options: as `zu.solve(solver, problem, **options)`. tolerance: relative, in float64.
    A refusal (`DependentRows`, `DependentKeys`, `EmptyNullSpace`) is an answer too: such problems are passed over.
    """

    solver: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-8
    tolerance_float32: ClassVar[float] = 1e-4

    # What a subclass says

    def dense_reference(self, problem: EditProblem) -> Tensor:
        """W' (o, i) by the plain dense formula, in float64. Must be overridden."""
        raise NotImplementedError("give the solver's dense float64 formula")

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        """The scalar that the solver minimises, at `weight` (o, i), differentiable. For the law `objective`."""
        raise NotImplementedError(
            "give the objective, or drop the law 'objective' from the solver's registration"
        )

    def minimiser(self, problem: EditProblem, update: Update) -> Tensor:
        """Where the slope must vanish: W' (o, i), unless a step such as a projection follows the minimisation."""
        return update.applied(problem.weight, torch.float64)

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        """The direction (o, i) that the solver may move in: all, unless it moves in a subspace (`D W`, `X P`)."""
        return direction

    def expected_on_sensitive(self, problem: EditProblem) -> Tensor:
        """Q^T W' K (r, n) for the law `orthogonality`: zero, unless the solver leaves some slack."""
        return torch.zeros(self._basis(problem).shape[1], problem.keys.shape[1], dtype=torch.float64)

    # What is checked

    @_examples
    @given(shape=shapes())
    def test_it_equals_its_dense_reference(self, shape: Shape) -> None:
        """The answer is the formula's, over shapes, scales and rank loss, in float64."""
        problem = edit_problem(shape)
        update = self._solved(problem)
        self._close(update.applied(problem.weight, torch.float64), self._reference(problem), self.tolerance)

    @_examples
    @given(shape=shapes(dtypes=(torch.float32,)))
    def test_it_serves_float32_weights(self, shape: Shape) -> None:
        """In float32 the weight is the formula's up to rounding, where the problem is a well conditioned one."""
        shape = replace(shape, weight_rank=None, scale=1.0, duplicates=0, text_tokens=96)
        assume(shape.outputs + 2 <= shape.inputs and shape.requests <= shape.inputs // 2)
        problem = edit_problem(shape)
        after = self._solved(problem).apply(problem.weight)
        assert after.dtype == torch.float32
        self._close(after.double(), self._reference(problem), self.tolerance_float32)

    @_examples
    @given(shape=shapes())
    def test_inputs_stay_as_they_are(self, shape: Shape) -> None:
        """No tensor of the problem is written to."""
        problem = edit_problem(shape)
        names = ("weight", "keys", "values", "targets", "sensitive", "bare_keys")
        kept = {name: getattr(problem, name).clone() for name in names}
        moment = problem.key_moment.clone()
        self._solved(problem)
        for name, tensor in kept.items():
            assert torch.equal(getattr(problem, name), tensor), f"{name} was written to"
        assert torch.equal(problem.key_moment, moment), "key_moment was written to"

    @_examples
    @given(shape=shapes())
    def test_the_same_problem_gives_the_same_bits(self, shape: Shape) -> None:
        """Determinism, and nothing that an earlier solve left behind in the background changes a later one."""
        first_problem, again_problem = edit_problem(shape), edit_problem(shape)
        first, again = self._solved(first_problem), self._solved(again_problem)
        cached = self._solved(first_problem)
        for other in (again, cached):
            for ours, theirs in zip(_parts(first), _parts(other), strict=True):
                assert torch.equal(ours, theirs)

    @_examples
    @given(shape=shapes(), same=st.booleans())
    def test_the_answer_is_finite_under_rank_loss(self, shape: Shape, same: bool) -> None:
        """Repeated requests, zero sensitive values: never a NaN, nor a change without bound."""
        problem = edit_problem(replace(shape, duplicates=shape.requests - 1))
        if same:
            problem = replace(problem, sensitive=torch.zeros_like(problem.values))
        update = self._solved(problem)
        assert all(bool(torch.isfinite(part).all()) for part in _parts(update))
        for name in ("residual", "condition_number", "relative_norm"):
            assert math.isfinite(float(update.report[name])), f"report[{name!r}] is not finite"
        assert "rank" in update.report

    @_examples
    @given(shape=shapes())
    def test_factored_equals_dense(self, shape: Shape) -> None:
        """W + delta is W', and the report's norm is that of the change."""
        problem = edit_problem(shape)
        update = self._solved(problem)
        after = update.applied(problem.weight, torch.float64)
        self._close(problem.weight.double() + update.delta(problem.weight), after, self.tolerance)
        norm = float(update.delta(problem.weight).norm() / problem.weight.double().norm())
        assert math.isclose(float(update.report["relative_norm"]), norm, rel_tol=1e-5, abs_tol=1e-9)

    @_examples
    @given(shape=shapes(), seed=st.integers(0, 2**16))
    def test_the_order_of_requests_is_irrelevant(self, shape: Shape, seed: int) -> None:
        """For the law `order-free`."""
        self._declares("order-free")
        problem = edit_problem(shape)
        order = torch.randperm(shape.requests, generator=torch.Generator().manual_seed(seed))
        columns = ("keys", "values", "targets", "sensitive", "bare_keys")
        shuffled = replace(problem, **{name: getattr(problem, name)[:, order] for name in columns})
        straight, turned = self._solved(problem), self._solved(shuffled)
        weight = problem.weight
        self._close(
            turned.applied(weight, torch.float64),
            straight.applied(weight, torch.float64),
            100 * self.tolerance,
        )

    @_examples
    @given(shape=shapes(), seed=st.integers(0, 2**16))
    def test_the_slope_vanishes_at_the_answer(self, shape: Shape, seed: int) -> None:
        """For the law `objective`: no feasible direction leads downhill from the answer."""
        self._declares("objective")
        problem = edit_problem(shape)
        answer = self.minimiser(problem, self._solved(problem)).detach()
        made = torch.Generator().manual_seed(seed)
        noise = torch.randn(answer.shape, generator=made, dtype=torch.float64)
        direction = self.feasible(problem, noise)
        size = float(direction.norm())
        assume(size > 1e-8 * float(noise.norm()))
        direction = direction / size * float(problem.weight.double().norm())
        # the objective is compared at either side: a slope would show as a difference of first order
        weight = answer.clone().requires_grad_(True)
        with torch.enable_grad():
            slope = torch.autograd.grad(self.objective(problem, weight), weight)[0]
        along = float((slope * direction).sum())
        start = problem.weight.double().clone().requires_grad_(True)
        with torch.enable_grad():
            before = torch.autograd.grad(self.objective(problem, start), start)[0]
        curvature = float(self.objective(problem, answer + direction) - self.objective(problem, answer))
        scale = max(
            abs(float((before * direction).sum())), abs(curvature), float(before.norm() * direction.norm())
        )
        assert abs(along) <= 1e-6 * scale, f"slope {along:.2e} against {scale:.2e}"

    @_examples
    @given(shape=shapes())
    def test_forget_outputs_leave_the_sensitive_directions(self, shape: Shape) -> None:
        """For the law `orthogonality`."""
        self._declares("orthogonality")
        problem = edit_problem(shape)
        after = self._solved(problem).applied(problem.weight, torch.float64) @ problem.keys.double()
        left = self._basis(problem).T @ after
        expected = self.expected_on_sensitive(problem)
        scale = max(float(after.norm()), float(problem.values.double().norm()))
        assert float((left - expected).norm()) <= 1e-7 * scale

    @_examples
    @given(shape=shapes())
    def test_an_adapter_equals_the_update(
        self, tmp_path_factory: pytest.TempPathFactory, shape: Shape
    ) -> None:
        """Where the change is exactly low-rank, the exported LoRA factors give it back."""
        pytest.importorskip("peft", reason="the extra peft is not installed")
        from safetensors.torch import load_file

        problem = edit_problem(shape)
        update = self._solved(problem)
        if not update.exactly_low_rank:
            return
        folder = Path(tmp_path_factory.mktemp("adapter")) / "lora"
        write_lora({"layers.0.mlp": [update]}, folder)
        held = load_file(folder / "adapter_model.safetensors")
        left, right = (held[f"base_model.model.layers.0.mlp.lora_{side}.weight"].double() for side in "BA")
        # the adapter holds float32: that is its rounding, and no other
        scale = max(float(left.norm() * right.norm()), 1e-30)
        assert float((left @ right - update.delta(problem.weight)).norm()) <= 1e-5 * scale

    # How it is checked

    def _solved(self, problem: EditProblem) -> Update:
        try:
            return solve(self.solver, problem, **self.options)
        except REFUSALS:
            assume(False)
            raise

    def _reference(self, problem: EditProblem) -> Tensor:
        return self.dense_reference(problem).double()

    def _spec(self) -> SolverSpec:
        spec = installed_plugins().registry.get("solver", self.solver).spec
        assert isinstance(spec, SolverSpec)
        return spec

    def _declares(self, law: str) -> None:
        if law not in self._spec().laws:
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


def _parts(update: Update) -> Iterator[Tensor]:
    for part in (update.left, update.right, update.dense):
        if part is not None:
            yield part
