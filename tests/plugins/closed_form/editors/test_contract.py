"""Each editor under the solver contract, against its plain dense (i, i) formula in float64."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from zu_framework import EditProblem
from zu_framework.testing import Shape, SolverContract, edit_problem

W15, RIDGE, L2, KEPT = 7.0, 1e-3, 2.0, 3


def tensors(problem: EditProblem) -> tuple[Tensor, ...]:
    """W, K, R = T - V and C, in float64."""
    W, K, V, T = (t.double() for t in (problem.weight, problem.keys, problem.values, problem.targets))
    return W, K, T - V, problem.background.key_moment.double()


def damped(moment: Tensor, ridge: float = RIDGE) -> Tensor:
    return moment + ridge * moment.diagonal().mean() * torch.eye(len(moment)).double()


class TestMemit(SolverContract):
    solver = "memit"
    options: ClassVar[dict[str, Any]] = {"background_weight": W15, "relative_ridge": RIDGE}

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, R, C = tensors(problem)
        return W + torch.linalg.solve(W15 * damped(C) + K @ K.T, R @ K.T, left=False)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, R, C = tensors(problem)
        change = weight - W
        return W15 * torch.trace(change @ damped(C) @ change.T) + (change @ K - R).square().sum()


class TestMemitAsPublished(TestMemit):
    """No ridge: refused where the text is too little, and otherwise the published formula."""

    options: ClassVar[dict[str, Any]] = {"background_weight": W15}
    tolerance = 1e-6  # the dense (i, i) system itself is that ill conditioned

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, R, C = tensors(problem)
        return W + torch.linalg.solve(W15 * C + K @ K.T, R @ K.T, left=False)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, R, C = tensors(problem)
        change = weight - W
        return W15 * torch.trace(change @ C @ change.T) + (change @ K - R).square().sum()


class TestEmmet(SolverContract):
    solver = "emmet"
    options: ClassVar[dict[str, Any]] = {"relative_ridge": RIDGE}
    tolerance = (
        1e-4  # as many keys as inputs under a moment of lower rank: their sizes span ten digits, squared
    )

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, R, C = tensors(problem)
        lower = torch.linalg.cholesky(damped(C))
        # the pseudo-inverse of the whitened keys themselves: forming K^T C^-1 K would lose what is small in it
        whitened = torch.linalg.solve_triangular(lower, K, upper=False)
        inverse = torch.linalg.pinv(whitened, rtol=1e-7)  # (n, i)
        return W + torch.linalg.solve_triangular(lower, R @ inverse, upper=False, left=False)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, _, _, C = tensors(problem)
        return torch.trace((weight - W) @ damped(C) @ (weight - W).T)

    def test_the_norm_reported_is_the_changes_where_keys_nearly_depend_on_each_other(self) -> None:
        problem = edit_problem(Shape(17, 14, 16, 1, duplicates=2, text_tokens=7, scale=0.01, seed=253))
        update = self._solved(problem)
        norm = float(update.delta(problem.weight).norm() / problem.weight.norm())
        assert abs(float(update.report["relative_norm"]) / norm - 1) < 1e-9

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        """Directions that keep every target met: D K = 0."""
        keys = problem.keys.double()
        return direction - direction @ keys @ torch.linalg.pinv(keys)


class TestRome(SolverContract):
    """One request after another, each a dense rank-one update on the weights that the last one left."""

    solver = "rome"
    options: ClassVar[dict[str, Any]] = {"relative_ridge": RIDGE}
    tolerance = 1e-7

    def read(self, problem: EditProblem) -> Tensor:
        return problem.keys.double()

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, R, C = tensors(problem)
        inverse, read = torch.linalg.inv(damped(C)), self.read(problem)
        after = W
        for j in range(K.shape[1]):
            wanted = W @ read[:, j] + R[:, j]
            u = inverse @ K[:, j]
            after = after + torch.outer(wanted - after @ read[:, j], u) / (u @ read[:, j])
        return after


class TestRomeMixed(TestRome):
    options: ClassVar[dict[str, Any]] = {"relative_ridge": RIDGE, "key": "mixed"}
    tolerance = 1e-6

    def read(self, problem: EditProblem) -> Tensor:
        assert problem.bare_keys is not None
        return problem.bare_keys.double()


class TestAlphaEdit(SolverContract):
    solver = "alphaedit"
    options: ClassVar[dict[str, Any]] = {"l2": L2, "null_rank": KEPT}

    def projector(self, problem: EditProblem) -> Tensor:
        vectors = torch.linalg.eigh(problem.background.key_moment.double())[1]
        kept = vectors[:, : min(KEPT, len(vectors))]
        return kept @ kept.T

    def earlier(self, problem: EditProblem) -> Tensor:
        """Keys (i, m) of edits that the model carries, m = 0 for none."""
        return problem.keys[:, :0].double() if problem.earlier_keys is None else problem.earlier_keys.double()

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, R, _ = tensors(problem)
        P, E = self.projector(problem), self.earlier(problem)
        system = (K @ K.T + E @ E.T) @ P + L2 * torch.eye(len(P)).double()
        return W + torch.linalg.solve(system, R @ K.T @ P, left=False)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, R, _ = tensors(problem)
        change = weight - W
        held = (change @ self.earlier(problem)).square().sum()
        return (change @ K - R).square().sum() + held + L2 * change.square().sum()

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        return direction @ self.projector(problem)


class TestErase(SolverContract):
    solver = "leace"

    def dense_reference(self, problem: EditProblem) -> Tensor:
        basis = self._basis(problem)
        return problem.weight.double() - basis @ basis.T @ problem.weight.double()


class TestOblique(TestErase):
    """LEACE's projection, from its whitened form: D = I - M^1/2 (M^-1/2 Q)(M^-1/2 Q)^+ M^-1/2."""

    options: ClassVar[dict[str, Any]] = {"projection": "oblique", "relative_ridge": RIDGE}
    tolerance = 1e-6

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W = problem.weight.double()
        values, vectors = torch.linalg.eigh(damped(W @ problem.background.key_moment.double() @ W.T))
        root, whitener = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
        white = whitener @ self._basis(problem)
        return W - root @ white @ torch.linalg.pinv(white) @ whitener @ W
