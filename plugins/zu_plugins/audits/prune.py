"""`prune` and `noise`: small damage to every weight, and ask again."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from zu_framework import AuditContext, AuditFacts, LanguageModel, Outcome
from zu_framework.models import altered
from zu_plugins.audits.asking import asked
from zu_plugins.audits.options import NoiseOptions, PruneOptions
from zu_plugins.audits.weights import linear_weights


def prune(
    lm: LanguageModel, facts: AuditFacts, options: PruneOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Set the smallest entries of every matrix of the decoder layers to zero, ask, and put the weights back."""
    names = linear_weights(lm)
    found = {}
    for share in options.shares:
        with altered(lm, names) as weights:
            for weight in weights:
                count = int(share * weight.numel())
                if count:
                    limit = weight.abs().flatten().float().kthvalue(count).values
                    weight.masked_fill_(weight.abs().float() <= limit, 0)
            found[f"prune {share:.0%}"] = asked(lm, facts, context.batch_size)
    return found


def noise(
    lm: LanguageModel, facts: AuditFacts, options: NoiseOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Add Gaussian noise to every matrix of the decoder layers, ask, and put the weights back.

    A fact's number is the share of the draws after which it is answered.
    """
    names = linear_weights(lm)
    found = {}
    for size in options.sizes:
        draws = []
        for draw in range(options.draws):
            source = torch.Generator().manual_seed(context.seed * 1000 + draw)
            with altered(lm, names) as weights:
                for weight in weights:
                    drawn = torch.randn(weight.shape, generator=source).to(weight)
                    weight.add_(drawn * (size * weight.float().std()).to(weight))
                draws.append(asked(lm, facts, context.batch_size))
        found[f"noise {size:g}"] = _mean(draws)
    return found


def _mean(draws: list[Outcome]) -> Outcome:
    """The share of draws, fact by fact; the text of a fact that some draw answered."""
    answered = {
        name: tuple(
            sum(float(one.answered[name][at] or 0) for one in draws) / len(draws)
            for at in range(len(draws[0].answered[name]))
        )
        for name in draws[0].answered
    }
    prompts = {
        name: tuple(
            next((one.prompts[name][at] for one in draws if one.prompts[name][at]), "")
            for at in range(len(draws[0].prompts[name]))
        )
        for name in draws[0].prompts
    }
    shares = [one.report["paraphrases"] for one in draws if one.report.get("paraphrases") is not None]
    return Outcome(answered, prompts, report={"paraphrases": sum(shares) / len(shares) if shares else None})
