"""`zerounlearn-gd`: an additive change inside the null space of background keys; the optimum, or a way towards it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.linalg import (
    NullSpace,
    background_null_space,
    condition_number,
    identity_factor,
    products,
    reported,
    ridge_map,
    right_solve,
    sensitive_space,
    times,
    working_dtype,
)
from zu_plugins.closed_form.first_order import adam, lbfgs
from zu_plugins.closed_form.options import GradientOptions

PUBLISHED_THRESHOLD = 0.01  # the published code keeps singular values of the key moment at most this
FAR = 1e-6  # share of the optimum's loss above which a first-order result is worth a warning


@dataclass(frozen=True)
class Loss:
    """||Q^T (V + XK)||^2, ||V + XK - T||^2, ||X||^2, and total = zero + a target + b norm."""

    zero: float
    target: float
    norm: float
    total: float


def solve(problem: EditProblem, options: GradientOptions) -> Update:
    """Minimise ||Q^T (W + X) K||^2 + a ||(W + X) K - T||^2 + b ||X||^2 over X = D P, P the null-space projector of C.

    With Z = P K, G = Z^T Z, E = T - V the optimum is X = Y Z^T,
    `Y = Q Q^T (a E - V)/(1 + a) (G + b/(1+a) I)^-1 + (I - Q Q^T) E (G + b/a I)^-1`: rank n, one (n, n) solve.
    `adam` and `lbfgs` search the same X in the coordinates of Y; their distance to the optimum is reported.
    Systems in `options.precision`, factors in W's dtype. Raises `EmptyNullSpace` where the rule keeps no direction.
    Source: arXiv 2605.18879, gradient variant; its optimum: docs/mathematics.md.
    """
    dtype = working_dtype(options.precision)
    space = background_null_space(problem, options, PUBLISHED_THRESHOLD, dtype)
    keys, values, targets = (t.to(dtype) for t in (problem.keys, problem.values, problem.targets))
    basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    if keys.shape[1] > keys.shape[0] and options.method == "exact":
        return _of_many(problem, options, space, basis)
    allowed = space.project(keys)  # Z (i, n)
    inner = allowed.T @ allowed  # G (n, n)
    best = optimum(values, targets, basis, inner, options.target_weight, options.norm_weight)
    lowest = loss(values, targets, basis, inner, best, options)
    found, steps = best, 0
    if options.method == "adam":
        found, steps = adam(values, targets, basis, inner, options)
    elif options.method == "lbfgs":
        found, steps = lbfgs(values, targets, basis, inner, options)
    reached = loss(values, targets, basis, inner, found, options)
    excess = (reached.total - lowest.total) / lowest.total if lowest.total > 0 else 0.0
    blind = float(allowed.norm()) / max(float(keys.norm()), 1e-300)
    notes = _notes(blind, space)
    if options.method != "exact" and excess > FAR:
        notes.append(
            f"{options.method} stopped {excess:.1e} above the optimum's loss: raise steps, or use method: exact"
        )
    update = Update(found.to(problem.weight.dtype), allowed.T.to(problem.weight.dtype).contiguous())
    least = options.norm_weight / options.target_weight * torch.eye(len(inner)).to(inner)
    after = values + found @ inner
    return reported(
        problem, update, after=after, condition=condition_number(inner + least),
        sensitive_rank=basis.shape[1], change_norm=reached.norm**0.5, weight_norm=float(problem.weight.detach().norm()),
        notes=tuple(notes), sensitive_share=float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300),
        null_rank=space.rank, null_energy=space.energy, key_share=blind, loss_zero=reached.zero,
        loss_target=reached.target, loss_norm=reached.norm, loss_total=reached.total, optimum_total=lowest.total,
        excess=excess, steps=steps, method=options.method,
    )  # fmt: skip


def optimum(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, target_weight: float, norm_weight: float
) -> Tensor:
    """Y (o, n) of the exact minimiser X = Y Z^T."""
    a, b = target_weight, norm_weight
    identity = torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    gap = targets - values
    free = right_solve(gap - basis @ (basis.T @ gap), inner + b / a * identity)
    held = basis.T @ (a * gap - values) / (1 + a)  # (r, n)
    return free + basis @ right_solve(held, inner + b / (1 + a) * identity)


def loss(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, found: Tensor, options: GradientOptions
) -> Loss:
    """The terms at X = Y Z^T, Y = `found` (o, n): X K = Y G, ||X||^2 = tr(Y G Y^T)."""
    moved = found @ inner
    after = values + moved
    zero = float((basis.T @ after).square().sum())
    target = float((after - targets).square().sum())
    norm = max(float((moved * found).sum()), 0.0)
    return Loss(zero, target, norm, zero + options.target_weight * target + options.norm_weight * norm)


def _of_many(problem: EditProblem, options: GradientOptions, space: NullSpace, basis: Tensor) -> Update:
    """The optimum for more requests than inputs: one (i, i) system in place of the (n, n) one, keys block by block.

    `X = (I - Q Q^T) E Z^T (Z Z^T + b/a I)^-1 + Q Q^T (a E - V)/(1 + a) Z^T (Z Z^T + b/(1+a) I)^-1`.
    """
    a, b, dtype = options.target_weight, options.norm_weight, basis.dtype
    gram, by_target, by_value = products(problem.keys, problem.targets, problem.values, dtype=dtype)
    inner = space.project(space.project(gram).T)
    inner = (inner + inner.T) / 2  # Z Z^T
    blind = float(inner.trace().clamp_min(0) / gram.trace()) ** 0.5
    by_target, by_value = space.project(by_target.T).T, space.project(by_value.T).T  # T Z^T, V Z^T (o, i)
    one = identity_factor(basis, len(inner))
    free = ridge_map(one, inner, by_target - by_value, a / b)
    held = ridge_map(one, inner, a / (1 + a) * by_target - by_value, (1 + a) / b)
    change = free + basis @ (basis.T @ (held - free))  # X (o, i)
    values, targets = problem.values.to(dtype), problem.targets.to(dtype)
    after = values + times(change, problem.keys)
    zero, target = float((basis.T @ after).square().sum()), float((after - targets).square().sum())
    norm = float(change.square().sum())
    total = zero + a * target + b * norm
    return reported(
        problem, Update(dense=change.to(problem.weight.dtype)), after=after,
        condition=condition_number(inner + b / a * torch.eye(len(inner)).to(inner)), sensitive_rank=basis.shape[1],
        change_norm=norm**0.5, weight_norm=float(problem.weight.detach().norm()), notes=tuple(_notes(blind, space)),
        sensitive_share=float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300), null_rank=space.rank,
        null_energy=space.energy, key_share=blind, loss_zero=zero, loss_target=target, loss_norm=norm, loss_total=total,
        optimum_total=total, excess=0.0, steps=0, method=options.method,
    )  # fmt: skip


def _notes(blind: float, space: NullSpace) -> list[str]:
    if blind >= 1e-3:
        return []
    return [
        f"only {blind:.1e} of the forget keys lies in the null space ({space.rank} directions): they can "
        "hardly be moved; widen it (null_threshold, null_energy, null_rank)"
    ]
