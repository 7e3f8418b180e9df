"""One state per request: what a module must output so that the model says a text.

Source: the published implementation's `compute_z`, which is ROME's (Meng et al. 2022, section 3.1, eq. 4 and its code).
All requests of a chunk run in one forward pass; the columns of delta never meet in the loss, so each request takes the
very steps that it takes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import LanguageModel, ReadPlan
from zu_framework.models import Row, add_at, batch, logits_at, read_states, row_of
from zu_targets.options import NeutralOptions


@dataclass(frozen=True)
class Optimised:
    """states (o, n) = init + delta; init (o, n): the clean output at the bare prompt; losses per request."""

    states: Tensor
    init: Tensor
    first_loss: list[float]
    last_loss: list[float]
    last_nll: list[float]
    evaluations: list[int]


@dataclass(frozen=True)
class _Task:
    """One request's rows: contexts with the text's tokens but the last, and the anchor row, if any."""

    rows: list[Row]
    wanted: list[int]
    anchor: Row | None


def optimise(
    lm: LanguageModel,
    module: str,
    plan: ReadPlan,
    texts: Sequence[Sequence[int]],
    options: NeutralOptions,
    batch_size: int,
    progress: Callable[[str, int, int], None],
    label: str,
) -> Optimised:
    """Optimise a delta per request at `module`; texts: the token ids that each request's rows should go on with.

    The model's weights get no gradient and stay as they are; no random number is drawn.
    """
    tasks = []
    for prompts, anchor, ids in zip(plan.prompts, plan.anchors, texts, strict=True):
        tasks.append(
            _Task(
                # the last token of the text is predicted, never read
                rows=[row_of(lm, prompt, ids[:-1]) for prompt in prompts],
                wanted=list(ids),
                anchor=None if anchor is None else row_of(lm, anchor),
            )
        )
    bare = [prompts[0] for prompts in plan.prompts]
    init = read_states(lm, [module], bare, batch_size, inputs=False)[module][1]
    assert init is not None
    rows_each = max(len(task.rows) + (task.anchor is not None) for task in tasks)
    size = max(1, batch_size // rows_each)
    parts = []
    with _frozen(lm):
        for start in range(0, len(tasks), size):
            chosen = slice(start, start + size)
            parts.append(_chunk(lm, module, tasks[chosen], init[:, chosen], options))
            progress(label, min(start + size, len(tasks)), len(tasks))
    return Optimised(
        states=torch.cat([p.states for p in parts], 1),
        init=init,
        first_loss=[v for p in parts for v in p.first_loss],
        last_loss=[v for p in parts for v in p.last_loss],
        last_nll=[v for p in parts for v in p.last_nll],
        evaluations=[v for p in parts for v in p.evaluations],
    )


def _chunk(
    lm: LanguageModel, module: str, tasks: Sequence[_Task], init: Tensor, options: NeutralOptions
) -> Optimised:
    n = len(tasks)
    size = init.norm(dim=0)  # (n,)
    delta = torch.zeros(n, init.shape[0], dtype=init.dtype, device=init.device, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=options.lr)
    with torch.no_grad():
        clean = _forward(lm, module, tasks, range(n), delta)[
            1
        ]  # (n, vocabulary): log-probabilities after the anchors
    active = list(range(n))
    first, last, nll = [0.0] * n, [0.0] * n, [0.0] * n
    evaluations = [0] * n
    for step in range(options.steps):
        with torch.enable_grad():
            losses, now = _forward(lm, module, tasks, active, delta)
            here = torch.tensor(active, device=delta.device)
            total = losses
            if now is not None and clean is not None:
                before = clean[here]
                total = total + options.kl_weight * (now.exp() * (now - before)).sum(-1)
            decay = _norm(delta[here]) / size[here] ** 2
            total = total + options.weight_decay * decay.to(total)
        for place, request in enumerate(active):
            last[request], nll[request] = float(total[place].detach()), float(losses[place].detach())
            evaluations[request] += 1
            if step == 0:
                first[request] = last[request]
        going = [request for request in active if not last[request] < options.loss_threshold]
        if step == options.steps - 1 or not going:
            break
        optimiser.zero_grad()
        total.sum().backward()
        before_step = delta.detach().clone()
        optimiser.step()
        with torch.no_grad():
            moving = torch.zeros(n, dtype=torch.bool, device=delta.device)
            moving[torch.tensor(going, device=delta.device)] = True
            allowed = options.clamp * size  # (n,)
            norm = delta.norm(dim=1)
            shrunk = torch.where(
                (norm > allowed)[:, None], delta * (allowed / norm.clamp_min(1e-30))[:, None], delta
            )
            delta.copy_(torch.where(moving[:, None], shrunk, before_step))  # who has stopped stays
        active = going
    states = init + delta.detach().T
    return Optimised(states, init, first, last, nll, evaluations)


def _forward(
    lm: LanguageModel, module: str, tasks: Sequence[_Task], chosen: Sequence[int], delta: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Mean over rows of the NLL per text token (m,), and the log-probabilities after the anchors (m, vocabulary).

    m: the chosen requests. Without any anchor the latter is None; requests without one get zeros.
    """
    rows, owner, places = [], [], []
    for number, request in enumerate(chosen):
        task = tasks[request]
        for row in task.rows:
            start = len(row.ids) - 1
            places += [(len(rows), start + k, token, number) for k, token in enumerate(task.wanted)]
            rows.append(row)
            owner.append(request)
    anchors: list[tuple[int, int, int]] = []
    for number, request in enumerate(chosen):
        anchor = tasks[request].anchor
        if anchor is not None:
            anchors.append((len(rows), anchor.position, number))
            rows.append(anchor)
            owner.append(request)
    made = batch(rows, lm.device)
    at = torch.tensor([p[0] for p in places] + [a[0] for a in anchors], device=lm.device)
    column = torch.tensor([p[1] for p in places] + [a[1] for a in anchors], device=lm.device)
    with add_at(lm, module, made.positions, delta[torch.tensor(owner, device=delta.device)]):
        logits = logits_at(lm, made.input_ids, made.attention_mask, at, column)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_probabilities = logits.log_softmax(-1)
    wanted = torch.tensor([p[2] for p in places], device=logits.device)
    number = torch.tensor([p[3] for p in places], device=logits.device)
    said = -log_probabilities[: len(places)].gather(1, wanted[:, None])[:, 0]
    # every row of a request has the same number of text tokens: the mean of means is the mean
    counts = torch.zeros(len(chosen), dtype=said.dtype, device=said.device).index_add(
        0, number, torch.ones_like(said)
    )
    losses = (
        torch.zeros(len(chosen), dtype=said.dtype, device=said.device).index_add(0, number, said) / counts
    )
    if not anchors:
        return losses, None
    after = torch.zeros(len(chosen), logits.shape[1], dtype=logits.dtype, device=logits.device)
    index = torch.tensor([a[2] for a in anchors], device=logits.device)
    return losses, after.index_copy(0, index, log_probabilities[len(places) :])


def _norm(delta: Tensor) -> Tensor:
    """Row norms (m,) whose gradient at zero is zero, not undefined."""
    square = delta.square().sum(1)
    zero = square == 0
    return torch.where(
        zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt()
    )


@contextmanager
def _frozen(lm: LanguageModel) -> Iterator[None]:
    """No gradient for any weight meanwhile."""
    flags = [(p, p.requires_grad) for p in lm.model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
