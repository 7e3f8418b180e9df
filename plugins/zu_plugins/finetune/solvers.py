"""The gradient baselines: for each, what its loss reads of the model at a mini-batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zu_framework import LanguageModel, Request, RunContext, Site, Update
from zu_framework.models import Row, Continuations, continuations, read_tokens
from zu_plugins.finetune import losses
from zu_plugins.finetune.options import (
    DpoOptions,
    NeutralTrainOptions,
    PreferenceOptions,
    RmuOptions,
    SimnpoOptions,
    TrainOptions,
    UndialOptions,
    WgaOptions,
)
from zu_plugins.finetune.training import (
    answer_rows,
    log_probabilities,
    neutral_text,
    retain_rows,
    retained,
    train,
)

Changes = list[tuple[Site, Update]]


def ft(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: NeutralTrainOptions,
    context: RunContext,
) -> Changes:
    """Fine-tuning towards the neutral text."""
    rows = answer_rows(lm, requests, neutral_text(lm, options.text))
    return _train(
        lm,
        rows,
        sites,
        options,
        context,
        lambda said, _: losses.likelihood(said.log_probability, said.lengths),
    )


def ascent(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: TrainOptions,
    context: RunContext,
) -> Changes:
    """`ga`: gradient ascent on the answers; `graddiff`: with the retain loss that its options bring."""
    rows = answer_rows(lm, requests)
    return _train(
        lm, rows, sites, options, context, lambda said, _: losses.ascent(said.log_probability, said.lengths)
    )


def npo(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: PreferenceOptions,
    context: RunContext,
) -> Changes:
    """Negative preference against the untouched model."""
    rows = answer_rows(lm, requests)
    reference = log_probabilities(lm, rows, options.batch_size)

    def forget(said: Continuations, chosen: list[int]) -> Tensor:
        return losses.negative_preference(said.log_probability, reference[chosen], options.beta)

    return _train(lm, rows, sites, options, context, forget)


def simnpo(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: SimnpoOptions,
    context: RunContext,
) -> Changes:
    """Negative preference by length-normalised likelihood, without a reference."""

    def forget(said: Continuations, _: list[int]) -> Tensor:
        return losses.simple_negative_preference(
            said.log_probability, said.lengths, options.beta, options.gamma
        )

    return _train(lm, answer_rows(lm, requests), sites, options, context, forget)


def dpo(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: DpoOptions,
    context: RunContext,
) -> Changes:
    """Preference of the refusal over the answer, against the untouched model."""
    answers, refusals = answer_rows(lm, requests), answer_rows(lm, requests, neutral_text(lm, options.text))
    reference = log_probabilities(lm, [*refusals, *answers], options.batch_size)
    n = len(answers)

    def forget(chosen: list[int]) -> Tensor:
        said = continuations(
            lm, [*(refusals[i] for i in chosen), *(answers[i] for i in chosen)]
        ).log_probability
        size = len(chosen)
        return losses.direct_preference(
            said[:size], reference[:n][chosen], said[size:], reference[n:][chosen], options.beta
        )

    return train(lm, sites, options, context, n, forget, *retained(lm, options, context))


def undial(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: UndialOptions,
    context: RunContext,
) -> Changes:
    """Self-distillation from the untouched model's logits, the answers' lowered."""
    rows = answer_rows(lm, requests)
    with torch.no_grad():
        reference = [continuations(lm, [row]).logits.float().cpu() for row in rows]

    def forget(said: Continuations, chosen: list[int]) -> Tensor:
        logits = said.logits.float()
        kept = torch.cat([reference[i] for i in chosen]).to(logits)
        return losses.self_distillation(logits, kept, said.tokens, options.strength)

    return _train(lm, rows, sites, options, context, forget)


def wga(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: WgaOptions,
    context: RunContext,
) -> Changes:
    """Gradient ascent where the model is still sure."""

    def forget(said: Continuations, _: list[int]) -> Tensor:
        return losses.weighted_ascent(said.token_log_probability, options.beta)

    return _train(lm, answer_rows(lm, requests), sites, options, context, forget)


def rmu(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: RmuOptions,
    context: RunContext,
) -> Changes:
    """A layer's states on the facts are pushed along a random direction, those on general text kept."""
    layer = max(site.layer for site in sites) if options.layer is None else options.layer
    block = lm.site(layer).block
    rows, keep = answer_rows(lm, requests), []
    if options.retain_weight > 0:
        keep = retain_rows(lm, options, context)
    with torch.no_grad():
        reference = [read_tokens(lm, block, [_whole(row)]).float().cpu() for row in keep]
        states = torch.cat([read_tokens(lm, block, [_whole(row)]).float() for row in rows])
    draw = torch.Generator().manual_seed(context.seed)
    direction = torch.rand(states.shape[1], generator=draw).to(
        states
    )  # uniform in [0, 1), as the original draws it
    steered = direction / direction.norm() * options.coefficient * states.norm(dim=1).mean()

    def forget(chosen: list[int]) -> Tensor:
        return losses.misdirection(read_tokens(lm, block, [_whole(rows[i]) for i in chosen]).float(), steered)

    def kept(chosen: list[int]) -> Tensor:
        now = read_tokens(lm, block, [_whole(keep[i]) for i in chosen]).float()
        return losses.misdirection(now, torch.cat([reference[i] for i in chosen]).to(now))

    return train(lm, sites, options, context, len(rows), forget, kept if keep else None, len(keep))


def _train(
    lm: LanguageModel,
    rows: Sequence[Row],
    sites: Sequence[Site],
    options: TrainOptions,
    context: RunContext,
    loss: Callable[[Continuations, list[int]], Tensor],
) -> Changes:
    """Train on a loss of what the model says of a mini-batch's continuations."""

    def forget(chosen: list[int]) -> Tensor:
        return loss(continuations(lm, [rows[i] for i in chosen]), chosen)

    extra: Any = retained(lm, options, context)
    return train(lm, sites, options, context, len(rows), forget, *extra)


def _whole(row: Row) -> Row:
    """Prompt and continuation as one text."""
    ids = [*row.ids, *row.continuation]
    return Row(ids, len(ids) - 1)
