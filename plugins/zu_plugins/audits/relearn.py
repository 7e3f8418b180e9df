"""`relearn`: train a little on what an attacker may have, and ask again.

Sources: benign relearning, Hu et al. 2024 (arXiv 2406.13356); half of the facts to get the other half back, RTT, Deeb
and Roger 2024 (arXiv 2410.08827).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome, Request
from zu_framework.models import (
    Row,
    beginnings,
    continuations,
    encode_answer,
    encode_prompt,
    lent,
    longest_input,
)
from zu_plugins.audits.asking import asked, exact, relation_of
from zu_plugins.audits.options import RelearnOptions
from zu_plugins.audits.weights import linear_weights, stored_transposed

LORA_SCALE = 2.0  # alpha / rank, as adapters are usually trained


@dataclass(frozen=True)
class Lesson:
    """What one variant trains on, and which forget facts it asks afterwards (their places)."""

    rows: tuple[Row, ...]
    asked: tuple[int, ...]


def audit(
    lm: LanguageModel, facts: AuditFacts, options: RelearnOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Train on each kind of text, ask all facts, and put the weights back.

    A model in half precision is trained, and asked, as a copy in float32.
    Of `half`, the facts at even places are trained on and those at odd places are asked. The curve holds the share of
    the asked forget facts that are answered, over steps; the report holds step size, number of texts and last loss.

    Raises:
        AuditError: None of the texts can be had: no general text, no facts to retain, fewer than two facts to forget.
    """
    # one step size needs no trial
    trial = context.base if len(options.lr) > 1 else None
    untouched = trial is lm
    lm = _in_full_precision(lm)
    base = lm if untouched else trial and _in_full_precision(trial)
    lessons = {kind: _lesson(lm, kind, facts, options, context) for kind in options.texts}
    taught = {kind: lesson for kind, lesson in lessons.items() if lesson is not None}
    if not taught:
        raise AuditError(
            f"nothing to train on for {', '.join(options.texts)}: give facts to retain, general text (background), "
            "or at least two facts to forget"
        )
    return {
        f"relearn {kind}": _attacked(lm, base, lesson, facts, options, context)
        for kind, lesson in taught.items()
    }


def _in_full_precision(lm: LanguageModel) -> LanguageModel:
    """The model, or a copy in float32 of one in half precision, where small steps would be rounded away."""
    if torch.finfo(lm.dtype).bits >= 32:
        return lm
    return replace(lm, model=copy.deepcopy(lm.model).float())


def _attacked(
    lm: LanguageModel,
    base: LanguageModel | None,
    lesson: Lesson,
    facts: AuditFacts,
    options: RelearnOptions,
    context: AuditContext,
) -> Outcome:
    """Train with the largest step size that the untouched model stands; of that model the trial is the outcome."""
    *larger, least = sorted(options.lr, reverse=True)
    if base is None:
        return _after(lm, lesson, facts, options, context, least)
    for rate in larger:
        trial = _after(base, lesson, facts, options, context, rate)
        before, *_, after = trial.curve["answered"]
        if after >= options.keeps * before:
            return trial if base is lm else _after(lm, lesson, facts, options, context, rate)
    return _after(lm, lesson, facts, options, context, least)


def _after(
    lm: LanguageModel,
    lesson: Lesson,
    facts: AuditFacts,
    options: RelearnOptions,
    context: AuditContext,
    rate: float,
) -> Outcome:
    """Train, and ask along the way and at the end."""
    wanted = [facts.forget[at] for at in lesson.asked]
    every = max(1, options.steps // options.points)
    steps, shares, last = [0], [_share(lm, wanted, context)], float("nan")
    with trained(lm, lesson.rows, options, rate, context.seed) as losses:
        for step, loss in enumerate(losses, 1):
            last = loss
            context.progress("relearning", step, options.steps)
            if step % every == 0 and step < options.steps:
                steps.append(step)
                shares.append(_share(lm, wanted, context))
        found = asked(lm, facts, context.batch_size, lr=rate, texts=len(lesson.rows), last_loss=last)
    hits = {at for at in lesson.asked if found.answered["forget"][at]}
    steps.append(options.steps)
    shares.append(len(hits) / len(lesson.asked))
    answered = dict(found.answered)
    answered["forget"] = tuple(
        value if at in set(lesson.asked) else None for at, value in enumerate(answered["forget"])
    )
    return Outcome(answered, found.prompts, {"step": steps, "answered": shares}, found.report)


def _share(lm: LanguageModel, wanted: Sequence[Request], context: AuditContext) -> float:
    hits = exact(lm, wanted, context.batch_size)
    return sum(hits) / len(hits)


@contextmanager
def trained(
    lm: LanguageModel, rows: Sequence[Row], options: RelearnOptions, rate: float, seed: int
) -> Iterator[Iterator[float]]:
    """Yield an iterator that takes one optimiser step each time it is asked, and returns the loss (nats a token).

    While the block lasts the model is what training made of it; afterwards it is as it was, to the bit.
    """
    with ExitStack() as stack:
        if options.train == "full":
            parameters: list[Any] = stack.enter_context(lent(lm, lm.parameter_sites()))
        else:
            stack.enter_context(lent(lm, []))
            parameters = stack.enter_context(_adapted(lm, options.rank, seed))
        yield _steps(lm, parameters, rows, options, rate, seed)


def _steps(
    lm: LanguageModel,
    parameters: Sequence[Any],
    rows: Sequence[Row],
    options: RelearnOptions,
    rate: float,
    seed: int,
) -> Iterator[float]:
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=True)
    for some in islice(_batches(rows, options.rows_per_step, seed), options.steps):
        with torch.enable_grad():
            loss = -continuations(lm, some).token_log_probability.mean()
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
        optimiser.step()
        yield float(loss.detach())


def _batches(rows: Sequence[Row], size: int, seed: int) -> Iterator[list[Row]]:
    """Batches of texts, shuffled anew in each round, without end."""
    draw = random.Random(seed)
    waiting: list[Row] = []
    while True:
        while len(waiting) < size:
            waiting += draw.sample(rows, len(rows))
        yield waiting[:size]
        waiting = waiting[size:]


@contextmanager
def _adapted(lm: LanguageModel, rank: int, seed: int) -> Iterator[list[Tensor]]:
    """Lay a low-rank map beside every matrix of the decoder layers; yield what is trained of them."""
    source = torch.Generator().manual_seed(seed)
    factors: list[Tensor] = []
    with ExitStack() as stack:
        for name in linear_weights(lm):
            module = lm.model.get_submodule(name.rpartition(".")[0])
            outputs, inputs = _sizes(lm, name)
            down = (
                (torch.randn(rank, inputs, generator=source) / inputs**0.5).to(lm.device).requires_grad_(True)
            )
            up = torch.zeros(outputs, rank, device=lm.device).requires_grad_(True)
            factors += [down, up]

            def add(_: Any, given: Any, output: Tensor, a: Tensor = down, b: Tensor = up) -> Tensor:
                entered: Tensor = given[0]
                return output + LORA_SCALE * (entered @ a.T.to(entered) @ b.T.to(entered))

            stack.callback(module.register_forward_hook(add).remove)
        yield factors


def _sizes(lm: LanguageModel, name: str) -> tuple[int, int]:
    """(o, i) of a weight by its parameter's name."""
    first, second = lm.model.get_parameter(name).shape
    return (second, first) if stored_transposed(lm, name) else (first, second)


def _lesson(
    lm: LanguageModel, kind: str, facts: AuditFacts, options: RelearnOptions, context: AuditContext
) -> Lesson | None:
    everyone = tuple(range(len(facts.forget)))
    if kind == "unrelated":
        if context.documents is None:
            return None
        count = options.steps * options.rows_per_step
        ids = beginnings(lm, islice(context.documents(), count), options.max_tokens)
        rows = tuple(Row(one[:1], 0, one[1:]) for one in ids if len(one) > 1)
    elif kind == "related":
        near = {relation_of(request) for request in facts.forget}
        ordered = sorted(facts.others, key=lambda request: relation_of(request) not in near)
        most = options.steps * options.rows_per_step
        rows = tuple(_told(lm, request, options) for request in ordered[:most])
    else:
        if len(facts.forget) < 2:
            return None
        everyone = everyone[1::2]
        rows = tuple(_told(lm, request, options) for request in facts.forget[::2])
    return Lesson(rows, everyone) if rows else None


def _told(lm: LanguageModel, request: Request, options: RelearnOptions) -> Row:
    """A fact as a text to learn: its prompt and its answer, or the answer after its prompt."""
    answer = encode_answer(lm, request.answer, request.prompt)
    ids = [*encode_prompt(lm, request.prompt).ids, *answer][-min(options.max_tokens, longest_input(lm)) :]
    learnt = len(ids) - 1 if options.loss == "text" else min(len(answer), len(ids) - 1)
    return Row(ids[:-learnt], 0, ids[-learnt:])
