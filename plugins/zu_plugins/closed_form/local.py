"""`zerounlearn-local`: the zero term acts on forget inputs alone; no global projection, no slack, rank n."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import DependentRows, EditProblem, SolverError, Update
from zu_framework.linalg import (
    Factor,
    factor,
    products,
    reported,
    ridge_map,
    right_solve,
    sensitive_space,
    times,
    working_dtype,
)
from zu_plugins.closed_form.options import LocalOptions
from zu_plugins.closed_form.output_moment import DEPENDENT, output_factor, remap


def solve(problem: EditProblem, options: LocalOptions) -> Update:
    """Minimise the three terms together; `space: output` over D (W' = D W), `space: key` over Delta (W' = W + Delta).

    output: lb E||(D - I) W k||^2 + lf ||D V - T||^2 + lz ||Q^T D V||^2 + lr ||(D - I) W||^2,
    X = (lb M0 + lr W W^T)^-1 V.
    key: lb E||Delta k||^2 + lf ||V + Delta K - T||^2 + lz ||Q^T (V + Delta K)||^2 + lr ||Delta||^2,
    X = (lb C + lr I)^-1 K.
    A protect_weight lp adds `lp E_r||(D - I) W k_r||^2` or `lp E_r||Delta k_r||^2`, the mean over facts to keep, and so
    lp times their moment to what is inverted; keys k_p of earlier edits, where the model carries some, add the sum
    `le sum_p||(D - I) W k_p||^2` or `le sum_p||Delta k_p||^2` likewise. Either splits over Q Q^T and its complement:
    `left = (I - Q Q^T)(T - V)(I/lf + G)^-1 + Q (lf/(lf+lz) Q^T T - Q^T V)(I/(lf+lz) + G)^-1`, right X^T W or X^T.
    With more requests than M has rows, M's size decides the cost (see `_of_many`).
    Systems in `options.precision`, factors of rank n in W's dtype. Raises `DependentRows`, `SolverError`.
    """
    dtype = working_dtype(options.precision)
    weight = problem.weight.detach()
    if options.zero_weight > 0:
        basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    else:
        basis = torch.zeros(len(weight), 0, dtype=dtype, device=weight.device)  # no zero term: Q is not read
    columns = problem.values if options.space == "output" else problem.keys
    if columns.shape[1] > columns.shape[0]:
        return _of_many(problem, options, basis, columns)
    notes = []
    if options.space == "output":
        remapped = remap(problem, options)
        solved, used = remapped.solved, remapped.factor
        solved = protected(solved, problem.values, kept_columns(problem, options, dtype), used)
        inner = problem.values.to(dtype).T @ solved
        right = solved.to(weight.dtype).T @ weight  # X^T W (n, i)
        squared_right = solved.T @ (remapped.gram @ solved)  # (n, n)
        weight_norm = float(remapped.gram.trace()) ** 0.5
        if used.range is not None:
            notes.append(DEPENDENT.format(rank=used.rank, outputs=len(weight)))
    else:
        used = _key_factor(problem, options)
        solved = used.solve(problem.keys.to(dtype))  # (i, n)
        solved = protected(solved, problem.keys, kept_columns(problem, options, dtype), used)
        inner = problem.keys.to(dtype).T @ solved
        right = solved.T.to(weight.dtype)  # X^T (n, i)
        squared_right = solved.T @ solved
        weight_norm = float(weight.norm())

    inner = (inner + inner.T) / 2  # G (n, n)
    values, targets = problem.values.to(dtype), problem.targets.to(dtype)
    left = local_factor(values, targets, basis, inner, options.forget_weight, options.zero_weight)
    update = Update(left.to(weight.dtype), right.contiguous())
    after = values + left @ inner  # W' K (o, n): right @ K = X^T V = G, or X^T K = G
    return reported(
        problem, update, after=after, condition=used.condition, sensitive_rank=basis.shape[1],
        change_norm=max(float(((left.T @ left) * squared_right).sum()), 0.0) ** 0.5, weight_norm=weight_norm,
        notes=tuple(notes), sensitive_share=float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300),
        ridge=options.ridge, precision=used.precision, space=options.space, earlier_keys=_count(problem),
    )  # fmt: skip


def local_factor(
    values: Tensor, targets: Tensor, basis: Tensor, inner: Tensor, forget_weight: float, zero_weight: float
) -> Tensor:
    """The left factor (o, n) from values, targets (o, n), basis Q (o, r) and G (n, n)."""
    identity = torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    gap = targets - values
    both = forget_weight + zero_weight
    free = right_solve(gap - basis @ (basis.T @ gap), identity / forget_weight + inner)
    held = basis.T @ (forget_weight / both * targets - values)  # (r, n)
    return free + basis @ right_solve(held, identity / both + inner)


def kept_columns(problem: EditProblem, options: LocalOptions, dtype: torch.dtype) -> Tensor:
    """R (d, m), what is protected: `R R^T` joins M. Keys of the facts to keep and of earlier edits, or their outputs.

    Each is scaled by the root of its weight: lp over their number, le.
    """
    keys = [problem.keys[:, :0].to(dtype)]
    if options.protect_weight > 0:
        assert problem.retain_keys is not None
        share = options.protect_weight / problem.retain_keys.shape[1]
        keys.append(share**0.5 * problem.retain_keys.to(dtype))
    if options.earlier_weight > 0 and problem.earlier_keys is not None:
        keys.append(options.earlier_weight**0.5 * problem.earlier_keys.to(dtype))
    kept = torch.cat(keys, 1)
    return kept if options.space == "key" else problem.weight.detach().to(dtype) @ kept


def protected(solved: Tensor, columns: Tensor, kept: Tensor, used: Factor) -> Tensor:
    """(M + R R^T)^-1 A (d, n) from `solved` = M^-1 A, A = `columns` (d, n), R = `kept` (d, m), by Woodbury.

    One factor of M serves every set of protected columns: the new system is (m, m).
    """
    if not kept.shape[1]:
        return solved
    reached = used.solve(kept)  # M^-1 R (d, m)
    system = kept.T @ reached
    system = (system + system.T) / 2
    system.diagonal().add_(1)
    return solved - right_solve(reached, system) @ (reached.T @ columns.to(solved))


def _key_factor(problem: EditProblem, options: LocalOptions) -> Factor:
    """Of lb C + lr I (i, i)."""
    dtype = working_dtype(options.precision)

    def factored() -> Factor:
        moment = options.background_weight * problem.background.key_moment.to(problem.weight.device, dtype)
        moment.diagonal().add_(options.ridge)
        try:
            return factor(moment, dtype, refined=options.precision == "auto")
        except DependentRows as cause:
            raise SolverError(f"lb C + lr I is singular ({cause}): raise ridge") from cause

    return problem.background.cached(
        ("keys", options.background_weight, options.ridge, options.precision), factored, of_weight=False
    )


def _of_many(problem: EditProblem, options: LocalOptions, basis: Tensor, columns: Tensor) -> Update:
    """The same for more requests than M (d, d) has rows, in O(d^2 n) time and O(d^2) memory beside what was given.

    With columns C (V or K) taken block by block, `E = (I - Q Q^T) lf (T - V) C^T (M + lf C C^T)^-1
    + Q Q^T (lf T - (lf + lz) V) C^T (M + (lf + lz) C C^T)^-1`; then W' = W + E W, or W + E in key space.
    """
    dtype, weight = basis.dtype, problem.weight.detach()
    if options.space == "output":
        used, outer = output_factor(problem, options)
    else:
        used, outer = _key_factor(problem, options), None
    gram, by_target, by_value = products(columns, problem.targets, problem.values, dtype=dtype)
    light, heavy = options.forget_weight, options.forget_weight + options.zero_weight
    wide = kept_columns(problem, options, dtype)
    kept = wide @ wide.T  # what is protected adds to M
    free = ridge_map(used, gram + kept / light, by_target - by_value, light)
    held = ridge_map(used, gram + kept / heavy, light / heavy * by_target - by_value, heavy)
    change = free + basis @ (basis.T @ (held - free))  # E (o, d)
    after = problem.values.to(dtype) + times(change, columns)
    notes = []
    if used.range is not None:
        notes.append(DEPENDENT.format(rank=used.rank, outputs=len(weight)))
    if outer is None:
        update = Update(dense=change.to(weight.dtype))
        norm, weight_norm = float(change.norm()), float(weight.norm())
    else:
        update = Update(change.to(weight.dtype), weight.clone())
        norm = max(float(((change @ outer) * change).sum()), 0.0) ** 0.5
        weight_norm = float(outer.trace()) ** 0.5
    return reported(
        problem, update, after=after, condition=used.condition, sensitive_rank=basis.shape[1], change_norm=norm,
        weight_norm=weight_norm, notes=tuple(notes),
        sensitive_share=float((basis.T @ after).norm()) / max(float(after.norm()), 1e-300),
        ridge=options.ridge, precision=used.precision, space=options.space, earlier_keys=_count(problem),
    )  # fmt: skip


def _count(problem: EditProblem) -> int:
    return 0 if problem.earlier_keys is None else problem.earlier_keys.shape[1]
