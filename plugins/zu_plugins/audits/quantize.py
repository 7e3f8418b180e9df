"""`quantize`: round the weights as quantisers do, in memory, and ask again.

Sources: round-to-nearest by groups as in GPTQ's baseline (arXiv 2210.17323); NF4, Dettmers et al. 2023 (arXiv
2305.14314), its 16 levels as printed there; Q4_0, Q4_1 and Q8_0 as the GGUF format defines them (blocks of 32,
scales in float16), checked against the package `gguf` in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome
from zu_framework.models import altered
from zu_plugins.audits.asking import asked
from zu_plugins.audits.options import QuantizeOptions
from zu_plugins.audits.weights import linear_weights, site_weights, stored_transposed

NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
NF4_BLOCK, GGUF_BLOCK = 64, 32


def audit(
    lm: LanguageModel, facts: AuditFacts, options: QuantizeOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Quantise and dequantise the weights in each scheme, ask all facts, and put the weights back.

    The report of each variant holds `survives`: of the entries that the edit changed, the share that still differ from
    the untouched model's once both are rounded; and `rounded`: how many weights the scheme took.

    Raises:
        AuditError: `where` is "sites" and the edited sites are not known.
    """
    names = linear_weights(lm) if options.where == "all" else site_weights(lm, context.sites)
    if not names:
        raise AuditError("the edited sites are not known: audit a run folder, or use where=all")
    found = {}
    for scheme in options.schemes:
        rounding = SCHEMES[scheme]
        surviving = _surviving(lm, context, rounding)
        with altered(lm, names) as weights:
            taken = 0
            for name, weight in zip(names, weights, strict=True):
                rounded = _rounded(weight, rounding, turned=stored_transposed(lm, name))
                if rounded is not None:
                    weight.copy_(rounded)
                    taken += 1
            found[scheme] = asked(
                lm, facts, context.batch_size, survives=surviving, rounded=taken, weights=len(names)
            )
    return found


def int8(rows: Tensor) -> Tensor:
    """Symmetric, one scale a row: the largest entry is 127."""
    scale = rows.abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
    return (rows / scale).round().clamp(-127, 127) * scale


def int4(rows: Tensor, group: int) -> Tensor | None:
    """Round to nearest, 16 levels between the smallest and the largest entry of each group of inputs."""
    if rows.shape[1] % group:
        return None
    blocks = rows.reshape(-1, group)
    low, high = blocks.amin(1, keepdim=True).clamp_max(0), blocks.amax(1, keepdim=True).clamp_min(0)
    scale = ((high - low) / 15).clamp_min(1e-30)
    zero = (-low / scale).round()
    levels = ((blocks / scale).round() + zero).clamp(0, 15)
    return ((levels - zero) * scale).reshape(rows.shape)


def nf4(rows: Tensor) -> Tensor | None:
    """The nearest of 16 levels, times the largest entry of each block of 64."""
    if rows.shape[1] % NF4_BLOCK:
        return None
    levels = torch.tensor(NF4, dtype=rows.dtype, device=rows.device)
    blocks = rows.reshape(-1, NF4_BLOCK)
    scale = blocks.abs().amax(1, keepdim=True).clamp_min(1e-30)
    middles = (levels[1:] + levels[:-1]) / 2
    nearest = torch.bucketize((blocks / scale).contiguous(), middles)
    return (levels[nearest] * scale).reshape(rows.shape)


def q8_0(rows: Tensor) -> Tensor | None:
    """GGUF's Q8_0: blocks of 32, scale max / 127 kept in float16."""
    blocks = _blocks(rows)
    if blocks is None:
        return None
    scale = blocks.abs().amax(1, keepdim=True) / 127
    levels = _away_from_zero(blocks * _inverse(scale))
    return (levels * scale.half().float()).reshape(rows.shape)


def q4_0(rows: Tensor) -> Tensor | None:
    """GGUF's Q4_0: blocks of 32, the entry of largest size becomes -8, scale kept in float16."""
    blocks = _blocks(rows)
    if blocks is None:
        return None
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = largest / -8
    levels = (blocks.double() * _inverse(scale).double() + 8.5).trunc().clamp(0, 15).float()
    return ((levels - 8) * scale.half().float()).reshape(rows.shape)


def q4_1(rows: Tensor) -> Tensor | None:
    """GGUF's Q4_1: blocks of 32, 16 levels from the smallest to the largest entry, scale and minimum in float16."""
    blocks = _blocks(rows)
    if blocks is None:
        return None
    low, high = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True)
    scale = (high - low) / 15
    levels = ((blocks - low) * _inverse(scale) + 0.5).trunc().clamp(0, 15)
    return (levels * scale.half().float() + low.half().float()).reshape(rows.shape)


Rounding = Callable[[Tensor], Tensor | None]

SCHEMES: Mapping[str, Rounding] = {
    "int8": int8,
    "int4-32": lambda rows: int4(rows, 32),
    "int4-128": lambda rows: int4(rows, 128),
    "nf4": nf4,
    "q4_0": q4_0,
    "q4_1": q4_1,
    "q8_0": q8_0,
}


def _rounded(weight: Tensor, rounding: Rounding, *, turned: bool) -> Tensor | None:
    """The rounded weight in its own layout and dtype; None where its inputs do not divide into the scheme's blocks.

    Blocks run along the inputs: the last axis of a linear map's weight, the first of a Conv1D's (`turned`).
    """
    rows = (weight.T if turned else weight).detach().float().contiguous()
    rounded = rounding(rows)
    if rounded is None:
        return None
    return (rounded.T if turned else rounded).to(weight.dtype)


def _surviving(lm: LanguageModel, context: AuditContext, rounding: Rounding) -> float | None:
    """The share of the edit's entries that rounding keeps apart; None without base model or sites."""
    if context.base is None or not context.sites or context.base is lm:
        return None
    changed = apart = 0
    for site in context.sites:
        edited, base = lm.weight(site).detach().float(), context.base.weight(site).detach().float()
        here = edited != base
        ours, theirs = rounding(edited.contiguous()), rounding(base.contiguous())
        if ours is None or theirs is None:
            continue
        changed += int(here.sum())
        apart += int((here & (ours != theirs)).sum())
    return apart / changed if changed else None


def _blocks(rows: Tensor) -> Tensor | None:
    return None if rows.shape[1] % GGUF_BLOCK else rows.reshape(-1, GGUF_BLOCK)


def _inverse(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, torch.zeros_like(scale), 1 / scale)


def _away_from_zero(values: Tensor) -> Tensor:
    """Halves are rounded away from zero, as C's `roundf` does; torch rounds them to even."""
    return values.sign() * (values.abs() + 0.5).floor()
