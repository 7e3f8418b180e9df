"""`zerounlearn-local`: the zero term acts on forget inputs alone; no global projection, no slack, rank n."""

from __future__ import annotations

import torch
from torch import Tensor

from zu_framework import EditProblem, Update
from zu_framework.linalg import (
    Factor,
    gram_norm,
    products,
    reported,
    ridge_map,
    right_solve,
    sensitive_space,
    share_along,
    times,
    working_dtype,
)
from zu_plugins.closed_form.factors import OutputFactor, dependent_rows_notes
from zu_plugins.closed_form.options import LocalOptions
from zu_plugins.closed_form.splitting import split_factor


def solve(problem: EditProblem, options: LocalOptions, used: Factor | OutputFactor) -> Update:
    """Minimise the three terms together; `space: output` over D (W' = D W), `space: key` over Delta (W' = W + Delta).

    output: lb E||(D - I) W k||^2 + lf ||D V - T||^2 + lz ||Q^T D V||^2 + ridge ||(D - I) W||^2,
    X = (lb M0 + ridge W W^T)^-1 V.
    key: lb E||Delta k||^2 + lf ||V + Delta K - T||^2 + lz ||Q^T (V + Delta K)||^2 + ridge ||Delta||^2,
    X = (lb C + ridge I)^-1 K.
    A retain_weight lk adds `lk E_r||(D - I) W k_r||^2` or `lk E_r||Delta k_r||^2`, the mean over facts to retain, and
    so lk times their moment to what is inverted; keys k_p of earlier edits, where the model carries some, add the sum
    `le sum_p||(D - I) W k_p||^2` or `le sum_p||Delta k_p||^2` likewise. Either splits over Q Q^T and its complement:
    `left = (I - Q Q^T)(T - V)(I/lf + G)^-1 + Q (lf/(lf+lz) Q^T T - Q^T V)(I/(lf+lz) + G)^-1`, right X^T W or X^T.
    With more requests than M has rows, M's size decides the cost (see `_of_many`).
    Systems are solved in `options.precision`; factors are of rank n, in W's dtype.

    Args:
        problem: `keys`; `sensitive`, `retain_keys` and `earlier_keys` where their weights are above 0.
        options: lb (background_weight), lf (forget_weight), lz (zero_weight), lk (retain_weight), le (earlier_weight),
            ridge, the space, the rank cut and the precision.
        used: What `local_factor` returned.
    """
    dtype = working_dtype(options.precision)
    weight = problem.weight.detach()
    if options.zero_weight > 0:
        basis = sensitive_space(problem, options.rank_tolerance, dtype)  # (o, r)
    else:
        basis = torch.zeros(len(weight), 0, dtype=dtype, device=weight.device)  # no zero term: Q is not read
    columns = problem.keys if isinstance(used, Factor) else problem.values
    if columns.shape[1] > columns.shape[0]:
        return _of_many(problem, options, used, basis, columns)
    moment = used if isinstance(used, Factor) else used.moment
    retained = retained_columns(problem, options, dtype)
    solved = with_retained(moment.solve(columns.to(dtype)), columns, retained, moment)  # X (d, n)
    inner = columns.to(dtype).T @ solved
    inner = (inner + inner.T) / 2  # G (n, n)
    if isinstance(used, Factor):
        right = solved.T.to(weight.dtype)  # X^T (n, i)
        squared_right = solved.T @ solved
        weight_norm = float(weight.norm())
    else:
        right = solved.to(weight.dtype).T @ weight  # X^T W (n, i)
        squared_right = solved.T @ (used.gram @ solved)  # (n, n)
        weight_norm = float(used.gram.trace()) ** 0.5
    values, targets = problem.values.to(dtype), problem.targets.to(dtype)
    left = split_factor(values, targets, basis, inner, options.forget_weight, options.zero_weight, 1.0)
    return _reported(
        problem,
        options,
        moment,
        basis,
        Update(left.to(weight.dtype), right.contiguous()),
        after=values + left @ inner,  # W' K (o, n): right @ K = X^T V = G, or X^T K = G
        change_norm=gram_norm(left, squared_right),
        weight_norm=weight_norm,
    )


def retained_columns(problem: EditProblem, options: LocalOptions, dtype: torch.dtype) -> Tensor:
    """Return R (d, m), so that `R R^T` joins M: keys of the facts to retain and of earlier edits, or their outputs.

    Each is scaled by the root of its weight: lk over their number, le.
    """
    keys = [problem.keys[:, :0].to(dtype)]
    if options.retain_weight > 0:
        assert problem.retain_keys is not None
        share = options.retain_weight / problem.retain_keys.shape[1]
        keys.append(share**0.5 * problem.retain_keys.to(dtype))
    if options.earlier_weight > 0 and problem.earlier_keys is not None:
        keys.append(options.earlier_weight**0.5 * problem.earlier_keys.to(dtype))
    retained = torch.cat(keys, 1)
    return retained if options.space == "key" else problem.weight.detach().to(dtype) @ retained


def with_retained(solved: Tensor, columns: Tensor, retained: Tensor, used: Factor) -> Tensor:
    """Return (M + R R^T)^-1 A (d, n) by Woodbury: one factor of M serves every R, the new system is (m, m).

    Args:
        solved: M^-1 A (d, n).
        columns: A (d, n).
        retained: R (d, m).
        used: The factor of M.
    """
    if not retained.shape[1]:
        return solved
    reached = used.solve(retained)  # M^-1 R (d, m)
    system = retained.T @ reached
    system = (system + system.T) / 2
    system.diagonal().add_(1)
    return solved - right_solve(reached, system) @ (reached.T @ columns.to(solved))


def _of_many(
    problem: EditProblem,
    options: LocalOptions,
    used: Factor | OutputFactor,
    basis: Tensor,
    columns: Tensor,
) -> Update:
    """The same for more requests than M (d, d) has rows, in O(d^2 n) time and O(d^2) memory beside what was given.

    With columns C (V or K) taken block by block, `E = (I - Q Q^T) lf (T - V) C^T (M + lf C C^T)^-1
    + Q Q^T (lf T - (lf + lz) V) C^T (M + (lf + lz) C C^T)^-1`; then W' = W + E W, or W + E in key space.
    """
    dtype, weight = basis.dtype, problem.weight.detach()
    moment = used if isinstance(used, Factor) else used.moment
    gram, by_target, by_value = products(columns, problem.targets, problem.values, dtype=dtype)
    light, heavy = options.forget_weight, options.forget_weight + options.zero_weight
    wide = retained_columns(problem, options, dtype)
    retained = wide @ wide.T  # adds to M
    across = ridge_map(moment, gram + retained / light, by_target - by_value, light)
    along = ridge_map(moment, gram + retained / heavy, light / heavy * by_target - by_value, heavy)
    change = across + basis @ (basis.T @ (along - across))  # E (o, d)
    if isinstance(used, Factor):
        update = Update(dense=change.to(weight.dtype))
        norm, weight_norm = float(change.norm()), float(weight.norm())
    else:
        update = Update(change.to(weight.dtype), weight.clone())
        norm = max(float(((change @ used.gram) * change).sum()), 0.0) ** 0.5
        weight_norm = float(used.gram.trace()) ** 0.5
    return _reported(
        problem,
        options,
        moment,
        basis,
        update,
        after=problem.values.to(dtype) + times(change, columns),
        change_norm=norm,
        weight_norm=weight_norm,
    )


def _reported(
    problem: EditProblem,
    options: LocalOptions,
    used: Factor,
    basis: Tensor,
    update: Update,
    *,
    after: Tensor,
    change_norm: float,
    weight_norm: float,
) -> Update:
    return reported(
        problem,
        update,
        after=after,
        condition=used.condition,
        sensitive_rank=basis.shape[1],
        change_norm=change_norm,
        weight_norm=weight_norm,
        notes=dependent_rows_notes(used, problem),
        sensitive_share=share_along(basis, after),
        ridge=options.ridge,
        precision=used.precision,
        space=options.space,
        earlier_keys=0 if problem.earlier_keys is None else problem.earlier_keys.shape[1],
    )
