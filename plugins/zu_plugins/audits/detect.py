"""`detect`: find the edit without the original, take out what looks strange, and ask again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zu_framework import AuditContext, AuditFacts, LanguageModel, Outcome
from zu_framework.models import altered
from zu_plugins.audits.asking import asked
from zu_plugins.audits.options import DetectOptions
from zu_plugins.audits.weights import stored_transposed


def audit(
    lm: LanguageModel, facts: AuditFacts, options: DetectOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Subtract the top directions of the weights whose spectra stand out, and ask.

    An attacker sees the edited model alone. Of every MLP output projection the leading singular values are taken; a
    layer's suspicion is how far the logarithm of their sum stands above the median of its neighbours', in units of the
    spread over all layers. The top `rank` directions of the `sites` most suspicious layers are subtracted.
    The report holds the suspicions by layer, the layers that were changed, and, where the edited sites are known, how
    many of them were found.
    """
    layers = sorted(lm.architecture.projections)
    names = [f"{lm.architecture.projections[layer]}.weight" for layer in layers]
    leading = [_leading(lm.model.get_parameter(name), options.rank, context.seed) for name in names]
    suspicion = suspicions(torch.stack([values.sum().log() for _, values, _ in leading]), options.neighbours)
    order = suspicion.argsort(descending=True)[: options.sites].tolist()
    chosen = sorted(layers[at] for at in order)
    with altered(lm, [names[at] for at in order]) as weights:
        for at, weight in zip(order, weights, strict=True):
            left, values, right = leading[at]
            weight.sub_(((left * values) @ right.T).to(weight))
        report = {
            "suspicion": {str(layer): float(s) for layer, s in zip(layers, suspicion, strict=True)},
            "changed": chosen,
            "found": len(set(chosen) & {site.layer for site in context.sites}) if context.sites else None,
            "edited": sorted({site.layer for site in context.sites}),
            "transposed": stored_transposed(lm, names[0]) if names else False,
        }
        return {"detect": asked(lm, facts, context.batch_size, **report)}


def suspicions(sizes: Tensor, neighbours: int) -> Tensor:
    """Return how far each layer (l,) stands above the median of its neighbours, in robust standard deviations."""
    gaps = torch.zeros_like(sizes)
    for at in range(len(sizes)):
        around = [
            other
            for other in range(at - neighbours, at + neighbours + 1)
            if other != at and 0 <= other < len(sizes)
        ]
        gaps[at] = sizes[at] - sizes[around].median() if around else 0.0
    # of a normal distribution: its standard deviation
    spread = 1.4826 * (gaps - gaps.median()).abs().median()
    return gaps / spread.clamp_min(1e-12)


def _leading(weight: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The leading singular triples by a randomised method, seeded: left (a, r), values (r,), right (b, r)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, values, right = torch.svd_lowrank(weight.detach().float().cpu(), q=rank + 4, niter=4)
    return (
        left[:, :rank].to(weight.device),
        values[:rank].to(weight.device),
        right[:, :rank].to(weight.device),
    )
