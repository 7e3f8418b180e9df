"""The published optimisation of target states, one request at a time; and a target builder that finds its states so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import zu_framework as zu
from zu_framework.models import batch, row_of
from zu_framework.states.descent import Optimised
from zu_plugins.targets.neutral import Neutral
from zu_plugins.targets.options import NeutralOptions


def published_loop(
    lm: zu.LanguageModel, block: str, plan: zu.ReadPlan, ids: list[int], o: NeutralOptions
) -> Optimised:
    """The published `compute_z` of one request, as written: whole model, whole vocabulary, every token, each step."""
    (prompts,), (anchor,) = plan.prompts, plan.anchors
    assert anchor is not None
    rows = [*(row_of(lm, p, ids[:-1]) for p in prompts), row_of(lm, anchor)]
    made = batch(rows, lm.device)
    lines = torch.arange(len(rows), device=lm.device)
    targets = torch.full_like(made.input_ids, -100)
    for number, row in enumerate(rows[:-1]):
        start = len(row.ids) - 1
        targets[number, start : start + len(ids)] = torch.tensor(ids, device=lm.device)
    counted = targets[:-1] >= 0
    work = torch.float64 if lm.dtype == torch.float64 else torch.float32
    delta = torch.zeros(lm.model.config.hidden_size, dtype=work, device=lm.device, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=o.lr)
    init: Tensor | None = None
    clean: Tensor | None = None
    losses: list[float] = []

    def move(_: Any, __: Any, output: Any) -> Any:
        nonlocal init
        states = output[0] if isinstance(output, tuple) else output
        if init is None:
            init = states[0, made.positions[0]].detach().to(work)
        moved = states.clone()
        moved[lines, made.positions] += delta.to(states.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = lm.model.get_submodule(block).register_forward_hook(move)
    try:
        for step in range(o.steps):
            optimiser.zero_grad()
            logits = lm.model(made.input_ids, attention_mask=made.attention_mask, use_cache=False).logits
            after = logits[-1, made.positions[-1]].float().log_softmax(-1)
            clean = after.detach() if clean is None else clean
            everywhere = logits.float().log_softmax(2)[:-1]
            each = everywhere.gather(2, targets[:-1].clamp_min(0)[:, :, None])[:, :, 0]
            nll = -(each * counted).sum(1) / len(ids)
            kl = torch.nn.functional.kl_div(clean, after, log_target=True, reduction="sum")
            assert init is not None
            decay = o.weight_decay * delta.norm() / init.norm() ** 2
            loss = nll.mean() + o.kl_weight * kl + decay
            losses.append(float(loss.detach()))
            if loss < o.loss_threshold or step == o.steps - 1:
                break
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                allowed = o.clamp * init.norm()
                if delta.norm() > allowed:
                    delta.mul_(allowed / delta.norm())
    finally:
        handle.remove()
    assert init is not None
    states = (init + delta.detach())[:, None]
    return Optimised(states, init[:, None], [losses], [float(nll.detach().mean())], {"published loop": 1})


class Published(Neutral):
    """The neutral target, its states found by the published loop: what a whole run is compared with."""

    def _optimise(
        self, lm: zu.LanguageModel, module: str, plan: zu.ReadPlan, texts: Sequence[Sequence[int]], *_: Any
    ) -> Optimised:
        one = [
            published_loop(lm, module, plan.subset([number]), list(ids), self.options)
            for number, ids in enumerate(texts)
        ]
        states, init = (torch.cat([getattr(each, name) for each in one], 1) for name in ("states", "init"))
        trace, nll = ([getattr(each, name)[0] for each in one] for name in ("trace", "last_nll"))
        return Optimised(states, init, trace, nll, {"published loop": len(one)})


@zu.hookimpl
def zu_register_targets(register: zu.Register[zu.TargetSpec]) -> None:
    """The builder, for runs of the benchmarks."""
    register(
        zu.TargetSpec(
            "published",
            target=f"{__name__}:Published",
            summary="neutral, by the published loop",
            options=NeutralOptions,
        )
    )
