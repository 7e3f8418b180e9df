"""The laws that a solver's registration declares; one that is not declared is skipped, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from zu_framework.specs import SolverSpec
from zu_framework.store.adapter import write_lora
from zu_framework.testing.installed import registered_with
from zu_framework.testing.problems import Shape, edit_problem, shapes
from zu_framework.testing.solver_subject import SolverSubject, examples


class DeclaredLaws(SolverSubject):
    """Order of requests, a vanishing slope, orthogonality, and an adapter that is the change."""

    @examples
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

    @examples
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
        weight = answer.clone().requires_grad_(True)
        with torch.enable_grad():
            slope = torch.autograd.grad(self.objective(problem, weight), weight)[0]
        along = float((slope * direction).sum())
        # an objective has no scale of its own: the slope counts against the one at the start, and the curvature
        start = problem.weight.double().clone().requires_grad_(True)
        with torch.enable_grad():
            before = torch.autograd.grad(self.objective(problem, start), start)[0]
        curvature = float(self.objective(problem, answer + direction) - self.objective(problem, answer))
        scale = max(
            abs(float((before * direction).sum())), abs(curvature), float(before.norm() * direction.norm())
        )
        assert abs(along) <= 1e-6 * scale, f"slope {along:.2e} against {scale:.2e}"

    @examples
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

    @examples
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
