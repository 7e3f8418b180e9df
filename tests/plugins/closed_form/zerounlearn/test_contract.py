"""Each shipped solver under the contract that plugin authors use, against the plain dense formula in float64."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.testing import SolverContract

LB, LF, LR, LZ, LK, LE, SLACK = 3.0, 2.0, 0.5, 4.0, 6.0, 5.0, 0.01
A, B, KEPT = 100.0, 0.1, 3


def tensors(problem: EditProblem) -> tuple[Tensor, ...]:
    """W, K, V, T, C and the projector on the sensitive values, in float64."""
    assert problem.sensitive is not None
    left, sizes, _ = torch.linalg.svd(problem.sensitive.double(), full_matrices=False)
    basis = left[:, sizes > 1e-5 * sizes[0].clamp_min(1e-300)]
    given = (problem.weight, problem.keys, problem.values, problem.targets, problem.background.key_moment)
    return (*(t.double() for t in given), basis @ basis.T)


def symmetric_pinv(matrix: Tensor, rank: int) -> Tensor:
    """Pseudo-inverse of a positive semidefinite matrix of known rank."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors[:, -rank:] / values[-rank:] @ vectors[:, -rank:].T


def rank_of(weight: Tensor) -> int:
    return int(torch.linalg.matrix_rank(weight, rtol=1e-7))


class TestZeroUnlearn(SolverContract):
    solver = "zerounlearn"
    options: ClassVar[dict[str, Any]] = {
        "background_weight": LB,
        "forget_weight": LF,
        "ridge": LR,
        "slack": SLACK,
    }

    def unprojected(self, problem: EditProblem) -> Tensor:
        """D^ W from the normal equations of the published formula."""
        W, K, _, T, C, _ = tensors(problem)
        right = (LB * W @ C + LF * T @ K.T + LR * W) @ W.T
        moment = W @ (LB * C + LF * K @ K.T + LR * torch.eye(len(C)).double()) @ W.T
        return right @ symmetric_pinv(moment, rank_of(W)) @ W

    def dense_reference(self, problem: EditProblem) -> Tensor:
        projector = tensors(problem)[-1]
        return ((1 + SLACK) * torch.eye(len(projector)).double() - projector) @ self.unprojected(problem)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, _, T, C, _ = tensors(problem)
        change = weight - W
        return (
            LB * torch.trace(change @ C @ change.T)
            + LF * (weight @ K - T).square().sum()
            + LR * change.square().sum()
        )

    def minimiser(self, problem: EditProblem, update: Update) -> Tensor:
        """D^ W: the answer before the projection P, which is taken off again (P is invertible: its slack is not 0)."""
        projector = tensors(problem)[-1]
        identity = torch.eye(len(projector)).double()
        off = (identity - projector) / (1 + SLACK) + projector / SLACK
        return off @ update.applied(problem.weight, torch.float64)

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        """W' = D W: the rows may move in W's row space."""
        return direction @ problem.weight.double().T @ problem.weight.double()

    def expected_on_sensitive(self, problem: EditProblem) -> Tensor:
        return SLACK * self._basis(problem).T @ self.unprojected(problem) @ problem.keys.double()


class TestZeroUnlearnWithoutSlack(TestZeroUnlearn):
    """slack 0: the exact minimiser subject to Q^T D W = 0, and exactly low-rank."""

    options: ClassVar[dict[str, Any]] = {**TestZeroUnlearn.options, "slack": 0.0}

    def dense_reference(self, problem: EditProblem) -> Tensor:
        projector = tensors(problem)[-1]
        return (torch.eye(len(projector)).double() - projector) @ self.unprojected(problem)

    def minimiser(self, problem: EditProblem, update: Update) -> Tensor:
        assert update.exactly_low_rank
        return update.applied(problem.weight, torch.float64)

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        """Directions that keep Q^T W' = 0."""
        moved = super().feasible(problem, direction)
        return moved - tensors(problem)[-1] @ moved

    def expected_on_sensitive(self, problem: EditProblem) -> Tensor:
        return torch.zeros(self._basis(problem).shape[1], problem.keys.shape[1]).double()


class TestLocal(SolverContract):
    solver = "zerounlearn-local"
    options: ClassVar[dict[str, Any]] = {
        "background_weight": LB,
        "forget_weight": LF,
        "ridge": LR,
        "zero_weight": LZ,
        "earlier_weight": LE,
        "space": "output",
    }

    def held(self, problem: EditProblem) -> Tensor:
        """lb C, and the moments of what is retained besides: facts, times lk, and keys of earlier edits, times le."""
        moment = LB * problem.key_moment.double()
        if "retain_weight" in self.options:
            assert problem.retain_keys is not None
            keys = problem.retain_keys.double()
            moment = moment + LK * keys @ keys.T / keys.shape[1]
        if problem.earlier_keys is not None:
            moment = moment + LE * problem.earlier_keys.double() @ problem.earlier_keys.double().T
        return moment

    def solved(self, problem: EditProblem, moment: Tensor, basis: Tensor, weight: Tensor) -> Tensor:
        """Delta of `W' = W + Delta`, from the normal equations: `basis` maps Delta's coordinates to what is added.

        With Delta = Y basis^T (Y free), each eigenspace of Q Q^T (lambda 0 or 1) solves
        Y (lb.. + (lf + lambda lz) k k^T) = (lf T - (lf + lambda lz) V) k^T, k = basis^T K.
        """
        _, K, V, T, _, projector = tensors(problem)
        keys = basis.T @ K
        answer = torch.zeros(len(weight), basis.shape[1], dtype=torch.float64)
        complement = torch.eye(len(projector)).double() - projector
        for part, total in ((complement, LF), (projector, LF + LZ)):
            wanted = part @ (LF * T - total * V) @ keys.T
            answer += torch.linalg.solve(moment + total * keys @ keys.T, wanted, left=False)
        return answer @ basis.T

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, _, _, _, C, _ = tensors(problem)
        # (i, rank): D W moves in W's row space
        rows = torch.linalg.svd(W, full_matrices=False)[2][: rank_of(W)].T
        moment = rows.T @ (self.held(problem) + LR * torch.eye(len(C)).double()) @ rows
        return W + self.solved(problem, moment, rows, W)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, _, T, _, projector = tensors(problem)
        change = weight - W
        return (
            torch.trace(change @ self.held(problem) @ change.T)
            + LF * (weight @ K - T).square().sum()
            + LZ * (projector @ weight @ K).square().sum()
            + LR * change.square().sum()
        )

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        return direction @ problem.weight.double().T @ problem.weight.double()


class TestLocalRefined(TestLocal):
    """precision auto: float32 factors refined to float64, or float64 where the moment is ill-conditioned."""

    options: ClassVar[dict[str, Any]] = {**TestLocal.options, "precision": "auto"}


class TestLocalInKeySpace(TestLocal):
    options: ClassVar[dict[str, Any]] = {**TestLocal.options, "space": "key"}

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, _, _, _, C, _ = tensors(problem)
        identity = torch.eye(len(C)).double()
        return W + self.solved(problem, self.held(problem) + LR * identity, identity, W)

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        return direction


class TestLocalRetaining(TestLocal):
    options: ClassVar[dict[str, Any]] = {**TestLocal.options, "retain_weight": LK}


class TestLocalInKeySpaceRetaining(TestLocalInKeySpace):
    options: ClassVar[dict[str, Any]] = {**TestLocalInKeySpace.options, "retain_weight": LK}


class TestGradient(SolverContract):
    solver = "zerounlearn-gd"
    options: ClassVar[dict[str, Any]] = {
        "method": "exact",
        "target_weight": A,
        "norm_weight": B,
        "null_rank": KEPT,
    }

    def kept(self, problem: EditProblem) -> Tensor:
        return torch.linalg.eigh(problem.background.key_moment.double())[1][
            :, : min(KEPT, problem.weight.shape[1])
        ]

    def dense_reference(self, problem: EditProblem) -> Tensor:
        """Normal equations in the coordinates of the null space, X = Y N^T, one eigenspace of Q Q^T after the other."""
        W, K, V, T, _, projector = tensors(problem)
        kept = self.kept(problem)
        keys = kept.T @ K
        answer = torch.zeros(len(W), kept.shape[1], dtype=torch.float64)
        identity = torch.eye(kept.shape[1]).double()
        complement = torch.eye(len(projector)).double() - projector
        for part, held in ((complement, 0.0), (projector, 1.0)):
            wanted = part @ (A * (T - V) - held * V) @ keys.T
            answer += torch.linalg.solve((A + held) * keys @ keys.T + B * identity, wanted, left=False)
        return W + answer @ kept.T

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, _, T, _, projector = tensors(problem)
        return (
            (projector @ weight @ K).square().sum()
            + A * (weight @ K - T).square().sum()
            + B * (weight - W).square().sum()
        )

    def feasible(self, problem: EditProblem, direction: Tensor) -> Tensor:
        kept = self.kept(problem)
        return direction @ kept @ kept.T
