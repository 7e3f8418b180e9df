"""The gradient baselines: for each, what its loss reads of the model at a mini-batch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zu_framework import LanguageModel, Request, RunContext, Site, Update
from zu_framework.models import Continuations, Row, continuations, eos_of, read_tokens
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
from zu_plugins.finetune.rows import answer_rows, log_probabilities, retain_loss, retain_rows
from zu_plugins.finetune.training import train

Changes = list[tuple[Site, Update]]


def ft(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: NeutralTrainOptions,
    context: RunContext,
) -> Changes:
    """Fine-tuning towards the neutral text."""

    def forget(predicted: Continuations, _: list[int]) -> Tensor:
        return losses.likelihood(predicted.log_probability, predicted.lengths)

    rows = answer_rows(lm, requests, options.text or eos_of(lm, "solver.text"))
    return _train(lm, rows, sites, options, context, forget)


def ascent(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: TrainOptions,
    context: RunContext,
) -> Changes:
    """`ga`: gradient ascent on the answers; `graddiff`: with the retain loss that its options bring."""

    def forget(predicted: Continuations, _: list[int]) -> Tensor:
        return losses.ascent(predicted.log_probability, predicted.lengths)

    return _train(lm, answer_rows(lm, requests), sites, options, context, forget)


def npo(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: PreferenceOptions,
    context: RunContext,
) -> Changes:
    """Negative preference against the untouched model."""
    rows = answer_rows(lm, requests)
    reference = log_probabilities(lm, rows, options.requests_per_step)

    def forget(predicted: Continuations, chosen: list[int]) -> Tensor:
        return losses.negative_preference(predicted.log_probability, reference[chosen], options.beta)

    return _train(lm, rows, sites, options, context, forget)


def simnpo(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: SimnpoOptions,
    context: RunContext,
) -> Changes:
    """Negative preference by length-normalised likelihood, without a reference."""

    def forget(predicted: Continuations, _: list[int]) -> Tensor:
        return losses.simple_negative_preference(
            predicted.log_probability, predicted.lengths, options.beta, options.gamma
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
    answers = answer_rows(lm, requests)
    refusals = answer_rows(lm, requests, options.text or eos_of(lm, "solver.text"))
    reference = log_probabilities(lm, [*refusals, *answers], options.requests_per_step)
    n = len(answers)

    def forget(chosen: list[int]) -> Tensor:
        rows = [*(refusals[i] for i in chosen), *(answers[i] for i in chosen)]
        size, found = len(chosen), continuations(lm, rows).log_probability
        return losses.direct_preference(
            found[:size], reference[:n][chosen], found[size:], reference[n:][chosen], options.beta
        )

    return train(lm, sites, options, context, n, forget, *retain_loss(lm, options, context))


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

    def forget(predicted: Continuations, chosen: list[int]) -> Tensor:
        logits = predicted.logits.float()
        untouched = torch.cat([reference[i] for i in chosen]).to(logits)
        return losses.self_distillation(logits, untouched, predicted.tokens, options.strength)

    return _train(lm, rows, sites, options, context, forget)


def wga(
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: WgaOptions,
    context: RunContext,
) -> Changes:
    """Gradient ascent where the model is still sure."""

    def forget(predicted: Continuations, _: list[int]) -> Tensor:
        return losses.weighted_ascent(predicted.token_log_probability, options.beta)

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
    rows, retained = answer_rows(lm, requests), []
    if options.retain_weight > 0:
        retained = retain_rows(lm, options, context)
    with torch.no_grad():
        reference = [read_tokens(lm, block, [_whole(row)]).float().cpu() for row in retained]
        states = torch.cat([read_tokens(lm, block, [_whole(row)]).float() for row in rows])
    draw = torch.Generator().manual_seed(context.seed)
    # uniform in [0, 1), as the original draws it
    direction = torch.rand(states.shape[1], generator=draw).to(states)
    steered = direction / direction.norm() * options.coefficient * states.norm(dim=1).mean()

    def forget(chosen: list[int]) -> Tensor:
        return losses.misdirection(read_tokens(lm, block, [_whole(rows[i]) for i in chosen]).float(), steered)

    def retain(chosen: list[int]) -> Tensor:
        now = read_tokens(lm, block, [_whole(retained[i]) for i in chosen]).float()
        return losses.misdirection(now, torch.cat([reference[i] for i in chosen]).to(now))

    return train(lm, sites, options, context, len(rows), forget, retain if retained else None, len(retained))


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

    return train(lm, sites, options, context, len(rows), forget, *retain_loss(lm, options, context))


def _whole(row: Row) -> Row:
    """Prompt and continuation as one text."""
    ids = [*row.ids, *row.continuation]
    return Row(ids, len(ids) - 1)
