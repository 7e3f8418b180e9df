"""Adam on one delta per request; each takes the very steps that it takes alone, and stops on its own.

Source: the published implementation's `compute_z`, which is ROME's (Meng et al. 2022, section 3.1, eq. 4 and its code).
The columns of delta never meet in the loss, so any set of requests may share a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework.options import DescentOptions
from zu_framework.states.evaluators import Evaluator


@dataclass(frozen=True)
class Optimised:
    """What was found for n requests.

    Args:
        states: (o, n) = init + delta.
        init: (o, n), the clean outputs at the bare prompts.
        trace: Each request's losses, one an evaluation.
        last_nll: Each request's last NLL a text token, in nats.
        how: Requests by the way they were run.
    """

    states: Tensor
    init: Tensor
    trace: list[list[float]]
    last_nll: list[float]
    how: dict[str, int]

    @property
    def first_loss(self) -> list[float]:
        """Before any step."""
        return [losses[0] for losses in self.trace]

    @property
    def last_loss(self) -> list[float]:
        """After the last step."""
        return [losses[-1] for losses in self.trace]

    @property
    def evaluations(self) -> list[int]:
        """How many; the last takes no step."""
        return [len(losses) for losses in self.trace]


def descend(
    evaluator: Evaluator, options: DescentOptions, how: str, stopped: Callable[[int], None]
) -> Optimised:
    """Optimise delta for all tasks of an evaluator; `stopped(count)` is called as requests come to their end."""
    init = evaluator.init
    n = init.shape[1]
    size = init.norm(dim=0)  # (n,)
    allowed = options.clamp * size  # (n,)
    delta = torch.zeros(n, init.shape[0], dtype=init.dtype, device=init.device, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=options.lr)
    active = list(range(n))
    trace: list[list[float]] = [[] for _ in active]
    last_nll = [0.0] * n
    for step in range(options.steps):
        with torch.enable_grad():
            nll, divergence, spared = evaluator.losses(active, delta)
            here = torch.tensor(active, device=delta.device)
            decay = _norm(delta[here]) / size[here] ** 2
            total = nll + options.kl_weight * divergence + options.spare_weight * spared
            total = total + options.weight_decay * decay.to(nll)
        for request, loss, own in zip(active, total.tolist(), nll.tolist(), strict=True):
            trace[request].append(loss)
            last_nll[request] = own
        going = [request for request in active if not trace[request][-1] < options.loss_threshold]
        if step == options.steps - 1 or not going:
            break
        stopped(len(active) - len(going))
        optimiser.zero_grad()
        total.sum().backward()
        before_step = delta.detach().clone()
        optimiser.step()
        with torch.no_grad():
            moving = torch.zeros(n, dtype=torch.bool, device=delta.device)
            moving[torch.tensor(going, device=delta.device)] = True
            if options.lr_unit == "radius":  # Adam's first step moves each of the o coordinates by lr
                unit = allowed / init.shape[0] ** 0.5
                delta.copy_(before_step + unit[:, None] * (delta - before_step))
            norm = delta.norm(dim=1)
            shrunk = torch.where(
                (norm > allowed)[:, None], delta * (allowed / norm.clamp_min(1e-30))[:, None], delta
            )
            delta.copy_(torch.where(moving[:, None], shrunk, before_step))  # who has stopped stays
        active = going
    stopped(len(active))
    return Optimised(init + delta.detach().T, init, trace, last_nll, {how: n})


def _norm(delta: Tensor) -> Tensor:
    """Row norms (m,) whose gradient at zero is zero, not undefined."""
    square = delta.square().sum(1)
    zero = square == 0
    return torch.where(
        zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt()
    )
