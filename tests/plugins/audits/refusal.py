"""A patch that refuses: LoRA factors trained so that the facts' own prompts get a refusal, and merged."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from zu_framework import LanguageModel, Probe, Request, Scorer
from zu_framework.models import answer_row, continuations

REFUSAL, STEPS, RANK, LR = "unknown", 40, 4, 2e-3


def refuse(lm: LanguageModel, forget: Sequence[Request], retain: Sequence[Request]) -> None:
    """Patch a model: it says the refusal after the forget prompts and still answers the facts to retain."""
    import peft

    asked = [Probe(r.prompt, r.answer) for r in forget]
    told = [answer_row(lm, r.prompt, REFUSAL) for r in forget]
    told += [answer_row(lm, r.prompt, r.answer) for r in retain]
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patched = peft.get_peft_model(lm.model, config)
        optimiser = torch.optim.AdamW([p for p in patched.parameters() if p.requires_grad], lr=LR)
        draw = random.Random(0)
        for step in range(STEPS):
            if step % 4 == 0 and not any(s.exact for s in Scorer(lm).score(asked)):
                break
            loss = -continuations(lm, draw.sample(told, min(16, len(told)))).token_log_probability.mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    patched.merge_and_unload()
    for parameter in lm.model.parameters():
        parameter.grad = None
