"""`ridge-remap`: the smallest change of W that moves forget inputs to their targets."""

import torch

from zu_example.plugin import RidgeRemapOptions
from zu_framework import EditProblem, Update
from zu_framework.linalg import right_solve


def solve(problem: EditProblem, options: RidgeRemapOptions) -> Update:
    """Minimise ||(W + X) K - T||^2 + ridge ||X||^2 over X (o, i).

    `X = (T - V)(K^T K + ridge I)^-1 K^T`, by the push-through identity: one (n, n) system in float64, rank n.
    Raises `DependentKeys` where that system is singular.
    """
    weight, keys = problem.weight, problem.keys.double()
    gap = problem.targets.double() - problem.values.double()
    inner = keys.T @ keys  # (n, n)
    system = inner + options.ridge * torch.eye(len(inner)).to(inner)
    left = right_solve(gap, system)  # (o, n)
    values = torch.linalg.eigvalsh(system)
    size = (left.T @ left * inner).sum().clamp_min(0).sqrt()  # ||left K^T||
    report = {
        "residual": float((gap - left @ inner).norm() / gap.norm().clamp_min(1e-300)),
        "condition_number": float(values[-1] / values[0]),
        "rank": keys.shape[1],
        "relative_norm": float(size / weight.double().norm()),
    }
    return Update(left.to(weight.dtype), keys.T.to(weight.dtype), report=report)
