"""`zerounlearn-gd`: an additive change inside the null space of background keys; the optimum, or a way towards it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.linalg import (
    NullSpace,
    condition_number,
    identity_factor,
    null_space_notes,
    products,
    reported,
    ridge_map,
    sensitive_space,
    share_along,
    times,
    working_dtype,
)
from zu_plugins.closed_form.first_order import adam, lbfgs
from zu_plugins.closed_form.options import GradientOptions
from zu_plugins.closed_form.splitting import split_factor

FAR = 1e-6  # share of the optimum's loss above which a first-order result is worth a warning


@dataclass(frozen=True)
class Loss:
    """The terms of the objective at an X.

    Args:
        zero: ||Q^T (V + XK)||^2.
        target: ||V + XK - T||^2.
        norm: ||X||^2.
        total: zero + a target + b norm.
    """

    zero: float
    target: float
    norm: float
    total: float


def solve(problem: EditProblem, options: GradientOptions, space: NullSpace) -> Update:
    """Minimise ||Q^T (W + X) K||^2 + a ||(W + X) K - T||^2 + b ||X||^2 over X = D P, P the null-space projector of C.

    With Z = P K, G = Z^T Z, E = T - V the optimum is X = Y Z^T,
    `Y = Q Q^T (a E - V)/(1 + a) (G + b/(1+a) I)^-1 + (I - Q Q^T) E (G + b/a I)^-1`: rank n, one (n, n) solve.
    `adam` and `lbfgs` search the same X in the coordinates of Y; their distance to the optimum is reported.
    Systems are solved in `options.precision`; factors are in W's dtype.

    Args:
        problem: `keys` and `sensitive`.
        options: a (target_weight), b (norm_weight), the method and its steps, the rank cut and the precision.
        space: What `gradient_space` returned.

    Source: arXiv 2605.18879, gradient variant; its optimum: docs/mathematics.md.
    """
    dtype = working_dtype(options.precision)
    keys, values, targets = (t.to(dtype) for t in (problem.keys, problem.values, problem.targets))
    basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    if keys.shape[1] > keys.shape[0] and options.method == "exact":
        return _of_many(problem, options, space, basis)
    allowed = space.project(keys)  # Z (i, n)
    inner = allowed.T @ allowed  # G (n, n)
    best = split_factor(values, targets, basis, inner, options.target_weight, 1.0, options.norm_weight)
    lowest = loss(values, targets, basis, inner, best, options)
    found, steps = best, 0
    if options.method == "adam":
        found, steps = adam(values, targets, basis, inner, options)
    elif options.method == "lbfgs":
        found, steps = lbfgs(values, targets, basis, inner, options)
    least = options.norm_weight / options.target_weight * torch.eye(len(inner)).to(inner)
    return _reported(
        problem,
        options,
        space,
        basis,
        Update(found.to(problem.weight.dtype), allowed.T.to(problem.weight.dtype).contiguous()),
        after=values + found @ inner,
        condition=condition_number(inner + least),
        share=float(allowed.norm()) / max(float(keys.norm()), 1e-300),
        reached=loss(values, targets, basis, inner, found, options),
        lowest=lowest.total,
        steps=steps,
    )


def loss(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, found: Tensor, options: GradientOptions
) -> Loss:
    """Return the terms at X = Y Z^T: X K = Y G, ||X||^2 = tr(Y G Y^T).

    Args:
        values: V (o, n).
        targets: T (o, n).
        basis: Q (o, r).
        inner: G (n, n).
        found: Y (o, n).
        options: a and b.
    """
    moved = found @ inner
    return _terms(values + moved, targets, basis, max(float((moved * found).sum()), 0.0), options)


def _terms(after: Tensor, targets: Tensor, basis: Tensor, norm: float, options: GradientOptions) -> Loss:
    """The terms where (W + X) K is `after` (o, n) and ||X||^2 is `norm`."""
    zero = float((basis.T @ after).square().sum())
    target = float((after - targets).square().sum())
    return Loss(zero, target, norm, zero + options.target_weight * target + options.norm_weight * norm)


def _of_many(problem: EditProblem, options: GradientOptions, space: NullSpace, basis: Tensor) -> Update:
    """The optimum for more requests than inputs: one (i, i) system in place of the (n, n) one, keys block by block.

    `X = (I - Q Q^T) E Z^T (Z Z^T + b/a I)^-1 + Q Q^T (a E - V)/(1 + a) Z^T (Z Z^T + b/(1+a) I)^-1`.
    """
    a, b, dtype = options.target_weight, options.norm_weight, basis.dtype
    gram, by_target, by_value = products(problem.keys, problem.targets, problem.values, dtype=dtype)
    inner = space.project(space.project(gram).T)
    inner = (inner + inner.T) / 2  # Z Z^T
    by_target, by_value = space.project(by_target.T).T, space.project(by_value.T).T  # T Z^T, V Z^T (o, i)
    one = identity_factor(basis, len(inner))
    across = ridge_map(one, inner, by_target - by_value, a / b)
    along = ridge_map(one, inner, a / (1 + a) * by_target - by_value, (1 + a) / b)
    change = across + basis @ (basis.T @ (along - across))  # X (o, i)
    after = problem.values.to(dtype) + times(change, problem.keys)
    reached = _terms(after, problem.targets.to(dtype), basis, float(change.square().sum()), options)
    return _reported(
        problem,
        options,
        space,
        basis,
        Update(dense=change.to(problem.weight.dtype)),
        after=after,
        condition=condition_number(inner + b / a * torch.eye(len(inner)).to(inner)),
        share=float(inner.trace().clamp_min(0) / gram.trace()) ** 0.5,
        reached=reached,
        lowest=reached.total,
        steps=0,
    )


def _reported(
    problem: EditProblem,
    options: GradientOptions,
    space: NullSpace,
    basis: Tensor,
    update: Update,
    *,
    after: Tensor,
    condition: float,
    share: float,
    reached: Loss,
    lowest: float,
    steps: int,
) -> Update:
    """The update with its report; share: of the forget keys in the null space; lowest: the optimum's loss."""
    excess = (reached.total - lowest) / lowest if lowest > 0 else 0.0
    notes = null_space_notes(share, space)
    if options.method != "exact" and excess > FAR:
        notes += (
            f"{options.method} stopped {excess:.1e} above the optimum's loss: raise steps, or use method: exact",
        )
    return reported(
        problem,
        update,
        after=after,
        condition=condition,
        sensitive_rank=basis.shape[1],
        change_norm=reached.norm**0.5,
        notes=notes,
        sensitive_share=share_along(basis, after),
        null_rank=space.rank,
        null_energy=space.energy,
        key_share=share,
        loss_zero=reached.zero,
        loss_target=reached.target,
        loss_norm=reached.norm,
        loss_total=reached.total,
        optimum_total=lowest,
        excess=excess,
        steps=steps,
        method=options.method,
    )
