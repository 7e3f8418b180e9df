"""The loop of the gradient baselines: borrow parameters, train them, put them back, return what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zu_framework import LanguageModel, RunContext, Site, SolverError, Update
from zu_plugins.finetune.options import TrainOptions
from zu_plugins.finetune.parameters import changes, chosen_sites, trainable
from zu_plugins.finetune.rows import Loss


def train(
    lm: LanguageModel,
    sites: Sequence[Site],
    options: TrainOptions,
    context: RunContext,
    count: int,
    forget: Loss,
    retain: Loss | None = None,
    retain_count: int = 0,
) -> list[tuple[Site, Update]]:
    """Minimise `forget` plus `retain_weight` times `retain` over mini-batches.

    Half-precision parameters are trained as float32 copies, so that small steps are not lost. The order of batches
    follows from the run's seed. The model is as it was afterwards, to the bit.

    Args:
        lm: The model.
        sites: The locator's.
        options: Which parameters, how many steps, how large.
        context: The run's seed and progress.
        count: How many facts `forget` takes indices of.
        forget: From indices below `count` to a scalar.
        retain: From indices below `retain_count` to a scalar.
        retain_count: How many rows `retain` takes indices of.

    Returns:
        An update for each trained parameter, with steps, first and last loss in its report.

    Raises:
        SolverError: A loss is not finite.
    """
    trail: list[float] = []
    with trainable(lm, chosen_sites(lm, sites, options), options, context.seed) as trained:
        optimiser = torch.optim.Adam([t.master for t in trained], lr=options.lr)
        draw = torch.Generator().manual_seed(context.seed)
        forget_batches = batches(count, options.requests_per_step, draw)
        retain_batches = batches(retain_count, options.requests_per_step, draw)
        norm = 0.0
        for step in range(options.steps):
            with torch.enable_grad():
                loss = forget(next(forget_batches))
                total = loss
                if retain is not None:
                    total = total + options.retain_weight * retain(next(retain_batches))
            trail.append(float(loss.detach()))
            if not bool(torch.isfinite(total.detach())):
                raise SolverError(
                    f"the loss is {float(total.detach())} at step {step}: lower solver.lr ({options.lr:g}) or "
                    "solver.steps, or give solver.stop_below"
                )
            if options.stop_below is not None and trail[-1] < options.stop_below:
                break
            torch.autograd.backward(total)
            norm = _clip([t.gradient() for t in trained], options.clip)
            optimiser.step()
            optimiser.zero_grad()
            for t in trained:
                t.settle(options.lr * options.weight_decay)
            context.progress("training", step + 1, options.steps)
        report = {"steps": len(trail), "first_loss": trail[0], "last_loss": trail[-1], "gradient_norm": norm}
        return changes(trained, report)


def batches(count: int, size: int, draw: torch.Generator) -> Iterator[list[int]]:
    """Yield indices below `count`, `size` at a time, each once before any comes again; nothing for a count of 0."""
    while count:
        order = torch.randperm(count, generator=draw).tolist()
        for start in range(0, count, size):
            yield order[start : start + size]


def _clip(gradients: Sequence[Tensor], limit: float) -> float:
    """Scale gradients so that their common norm is at most `limit` (0: leave them); return the norm before."""
    norm = float(torch.stack([g.norm().cpu() for g in gradients]).norm())
    if limit and norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return norm
