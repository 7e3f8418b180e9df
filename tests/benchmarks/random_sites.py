"""A large site of random data, and the formulas that solvers are timed against, dense and in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import zu_framework as zu

STRONG = 512  # directions of the key moment beside its diagonal


@dataclass(frozen=True)
class RandomSite:
    """weight (o, i), keys (i, n), values, targets, sensitive (o, n) in float32; moments and null (i, p) in float64."""

    weight: Tensor
    keys: Tensor
    values: Tensor
    targets: Tensor
    sensitive: Tensor
    key_moment: Tensor
    value_moment: Tensor
    null: Tensor

    @property
    def background(self) -> zu.Background:
        return zu.Background(self.key_moment, self.value_moment)

    def problem(self) -> zu.EditProblem:
        return zu.EditProblem(
            self.weight, self.keys, self.values, self.targets, self.sensitive, self.background
        )


def random_site(outputs: int, inputs: int, requests: int, null: int, weak: float = 0.0) -> RandomSite:
    """A site whose key moment has the value `weak` in `null` known directions, and is as full as text's elsewhere."""
    made = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made)

    weight, keys = normal(outputs, inputs) / inputs**0.5, normal(inputs, requests)
    basis = torch.linalg.qr(normal(inputs, null).double())[0]  # (i, p)
    # C = P (D + A A^T) P + weak N N^T: a diagonal and some strong directions are quick to make
    spread, strong = normal(inputs).double().square() + 0.05, normal(inputs, STRONG).double()
    moment = torch.diag(spread) + strong @ strong.T
    moment -= basis @ (basis.T @ moment)
    moment -= (moment @ basis) @ basis.T
    moment += weak * (basis @ basis.T)
    wide = weight.double()
    blind = wide @ basis
    wide -= blind @ basis.T
    along = wide @ strong
    value_moment = (wide * spread) @ wide.T + along @ along.T + weak * (blind @ blind.T)
    return RandomSite(
        weight=weight,
        keys=keys,
        values=weight @ keys,
        targets=normal(outputs, requests),
        sensitive=normal(outputs, requests),
        key_moment=(moment + moment.T) / 2,
        value_moment=(value_moment + value_moment.T) / 2,
        null=basis,
    )


def dense_closed_form(
    at: RandomSite, background_weight: float, forget_weight: float, ridge: float, slack: float
) -> Tensor:
    """ZeroUnlearn's published formula as written: W C, W (..) W^T, one (o, o) solve, P D W."""
    W, K, T, C = (t.double() for t in (at.weight, at.keys, at.targets, at.key_moment))
    eye = torch.eye(len(C)).double()
    right = (background_weight * (W @ C) + forget_weight * T @ K.T + ridge * W) @ W.T
    moment = W @ (background_weight * C + forget_weight * K @ K.T + ridge * eye) @ W.T
    remap = torch.linalg.solve(moment, right, left=False)
    basis = torch.linalg.qr(at.sensitive.double())[0]
    projector = (1 + slack) * torch.eye(len(W)).double() - basis @ basis.T
    return projector @ (remap @ W)


def dense_memit(at: RandomSite, background_weight: float) -> Tensor:
    """W' = W + R K^T (w C + K K^T)^-1, one (i, i) solve."""
    W, K = at.weight.double(), at.keys.double()
    moment = background_weight * at.key_moment + K @ K.T
    return W + (at.targets.double() - W @ K) @ torch.linalg.solve(moment, K).T


def dense_alphaedit(at: RandomSite, l2: float) -> Tensor:
    """W' = W + R K^T P (K K^T P + l2 I)^-1, P (i, i) formed, one (i, i) solve."""
    W, K = at.weight.double(), at.keys.double()
    projector = at.null @ at.null.T
    system = projector @ (K @ K.T)
    system.diagonal().add_(l2)
    return W + (at.targets.double() - W @ K) @ torch.linalg.solve(system, projector @ K).T


def full_matrix_adam(
    at: RandomSite, target_weight: float, norm_weight: float, lr: float
) -> tuple[Callable[[], None], Callable[[], float]]:
    """The published gradient variant: a step on a full (o, i) matrix D, X = D P; and the loss where it is."""
    W, K, T = at.weight.double(), at.keys.double(), at.targets.double()
    projector, basis = at.null @ at.null.T, torch.linalg.qr(at.sensitive.double())[0]
    parameter = torch.zeros_like(W, requires_grad=True)
    optimiser = torch.optim.Adam([parameter], lr=lr)

    def loss() -> Tensor:
        change = parameter @ projector
        after = (W + change) @ K
        zero, aim = (basis.T @ after).square().sum(), (after - T).square().sum()
        return zero + target_weight * aim + norm_weight * change.square().sum()

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step, lambda: float(loss().detach())
