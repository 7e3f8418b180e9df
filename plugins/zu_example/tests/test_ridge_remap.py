"""The contract of solvers, for ridge-remap: its dense formula and its objective are all that it takes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from zu_framework import EditProblem
from zu_framework.testing import SolverContract

RIDGE = 0.5


class TestRidgeRemap(SolverContract):
    solver = "ridge-remap"
    options: ClassVar[dict[str, Any]] = {"ridge": RIDGE}

    def dense_reference(self, problem: EditProblem) -> Tensor:
        W, K, T = problem.weight.double(), problem.keys.double(), problem.targets.double()
        moment = K @ K.T + RIDGE * torch.eye(len(K)).double()  # (i, i)
        return W + torch.linalg.solve(moment, (T - W @ K) @ K.T, left=False)

    def objective(self, problem: EditProblem, weight: Tensor) -> Tensor:
        W, K, T = problem.weight.double(), problem.keys.double(), problem.targets.double()
        return (weight @ K - T).square().sum() + RIDGE * (weight - W).square().sum()
