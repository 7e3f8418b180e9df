"""The contract of a solver as a test class: two overrides, and a stranger's solver is held to what ours are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from zu_framework.config import options_from
from zu_framework.engine.solving import prepare, solve
from zu_framework.errors import DependentKeys, DependentRows, EmptyNullSpace
from zu_framework.problem import Background, EditProblem, Update
from zu_framework.registry import Registered, installed_plugins
from zu_framework.specs import MOMENTS, Prepared, SolverSpec
from zu_framework.store.adapter import write_lora
from zu_framework.testing.installed import registered_with
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


class SolverContract:
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

    # What is checked

    @_examples
    @given(shape=shapes())
    def test_it_equals_its_dense_reference(self, shape: Shape) -> None:
        """The edited weight is the formula's, over shapes, scales and rank loss, in float64."""
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
        holders = {name: problem for name in _TENSORS} | {name: problem.background for name in MOMENTS}
        before = {
            name: tensor.clone()
            for name, holder in holders.items()
            if (tensor := getattr(holder, name)) is not None
        }
        self._solved(problem)
        for name, tensor in before.items():
            assert torch.equal(getattr(holders[name], name), tensor), f"{name} was written to"

    @_examples
    @given(shape=shapes())
    def test_the_same_problem_gives_the_same_bits(self, shape: Shape) -> None:
        """Determinism: nothing that an earlier solve left behind changes a later one."""
        problem = edit_problem(shape)
        first, again = self._solved(problem), self._solved(problem)
        elsewhere = self._solved(edit_problem(shape))
        for other in (again, elsewhere):
            for ours, theirs in zip(_parts(first), _parts(other), strict=True):
                assert torch.equal(ours, theirs)

    @_examples
    @given(shape=shapes())
    def test_a_factor_solves_as_the_solver_alone_does(self, shape: Shape) -> None:
        """For a registration with `prepare`: to the bit, and without a moment in the problem."""
        self._prepares()
        problem = edit_problem(shape)
        alone = self._solved(problem)
        factor = prepare(self.solver, problem.background, problem.weight, **self.options)
        given = replace(problem, background=Background())
        by_factor = solve(self.solver, given, factor=factor, **self.options)
        for ours, theirs in zip(_parts(alone), _parts(by_factor), strict=True):
            assert torch.equal(ours, theirs)

    @_examples
    @given(shape=shapes())
    def test_a_factor_follows_from_what_the_registration_lists(self, shape: Shape) -> None:
        """For a registration with `prepare`: it reads the listed options alone, and W only where it says so."""
        registered, declared = self._prepares()
        problem = edit_problem(shape)
        self._solved(problem)
        options = options_from(registered.spec, self.options, where="solver")
        background = problem.background.only(registered.spec.needs_of(options))
        seen = _Listed(options, declared.options)
        function = registered.load_prepare()
        assert function is not None
        found = function(background, problem.weight, seen)
        if not declared.reads_weight_under(options):
            other = function(background, torch.zeros_like(problem.weight), options)
            for ours, theirs in zip(_tensors(found), _tensors(other), strict=True):
                assert torch.equal(ours, theirs), "the factor follows from W: set reads_weight"

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
        columns = ("keys", "values", "targets", "sensitive", "bare_keys")  # those of requests
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
        """Unless the registration says `full_rank`: the exported LoRA factors are the change, for few requests."""
        pytest.importorskip("peft", reason="the extra peft is not installed")
        from safetensors.torch import load_file

        registered, options = registered_with("solver", self.solver, self.options)
        assert isinstance(registered.spec, SolverSpec)
        why = registered.spec.full_rank_under(options)
        if why:
            pytest.skip(f"solver {self.solver!r} {why}")
        # of more requests than a site has rows, a dense change may be the smaller form
        few = min(shape.requests, shape.outputs, shape.inputs)
        rank = None if shape.sensitive_rank is None else min(shape.sensitive_rank, few)
        fewer = replace(
            shape,
            requests=few,
            sensitive_rank=rank,
            duplicates=min(shape.duplicates, few - 1),
            earlier=min(shape.earlier, shape.inputs - few),
        )
        problem = edit_problem(fewer)
        update = self._solved(problem)
        assert update.exactly_low_rank, "the registration must say `full_rank`"
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

    def _declares(self, law: str) -> None:
        spec = installed_plugins().registry.get("solver", self.solver).spec
        assert isinstance(spec, SolverSpec)
        if law not in spec.laws:
            pytest.skip(f"solver {self.solver!r} does not declare the law {law!r}")

    def _prepares(self) -> tuple[Registered, Prepared]:
        registered = installed_plugins().registry.get("solver", self.solver)
        assert isinstance(registered.spec, SolverSpec)
        if registered.spec.prepare is None:
            pytest.skip(f"solver {self.solver!r} registers no `prepare`")
        return registered, registered.spec.prepare

    def _basis(self, problem: EditProblem) -> Tensor:
        assert problem.sensitive is not None
        left, sizes, _ = torch.linalg.svd(problem.sensitive.double(), full_matrices=False)
        basis: Tensor = left[:, sizes > 1e-5 * sizes[0].clamp_min(1e-300)]
        return basis

    @staticmethod
    def _close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
        error = float((ours - theirs).norm()) / max(float(theirs.norm()), 1e-300)
        assert error <= tolerance, f"relative error {error:.2e}, allowed {tolerance:.0e}"


class _Listed:
    """Options of which the listed ones alone can be read."""

    def __init__(self, options: Any, listed: tuple[str, ...]) -> None:
        self.__dict__.update({name: getattr(options, name) for name in listed})

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"prepare reads the option {name!r}, which the registration does not list")


def _tensors(factor: Any) -> Iterator[Tensor]:
    if isinstance(factor, Tensor):
        yield factor
    elif is_dataclass(factor):
        for part in fields(factor):
            yield from _tensors(getattr(factor, part.name))


def _parts(update: Update) -> Iterator[Tensor]:
    for part in (update.left, update.right, update.dense):
        if part is not None:
            yield part
