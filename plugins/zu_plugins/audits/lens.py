"""`lens`: whether the answer is readable in the middle of the model, by the logit lens.

Source: nostalgebraist, "interpreting GPT: the logit lens" (2020); as a test of unlearning, Patil et al. 2024 (arXiv
2309.17410).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import torch
from torch import Tensor

from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome, ReadPrompt, Request
from zu_framework.models import Readout, encode_answer, find_readout, read_states
from zu_plugins.audits.options import LensOptions


def audit(
    lm: LanguageModel, facts: AuditFacts, options: LensOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Read the answer's first token off every layer, at the subject's last token and at the prompt's end.

    A fact counts as answered where its rank is at most `rank` at some layer and place. The curve holds the mean
    probability by layer at either place; the report holds the median of the best rank and the mean of the best
    probability.

    Raises:
        AuditError: The model's head is none that the lens can read through.
    """
    readout = find_readout(lm)
    if readout is None:
        raise AuditError(
            f"the logit lens cannot read this {lm.model_type}: no plain norm and head at its end"
        )
    answered: dict[str, tuple[float | None, ...]] = {}
    curve: dict[str, Sequence[float]] = {}
    report: dict[str, float] = {}
    for name, group in facts.groups():
        ranks, chances = _read(lm, readout, group, context.batch_size)  # (n, places, layers)
        best = ranks.flatten(1).amin(1)
        answered[name] = tuple(float(rank <= options.rank) for rank in best.tolist())
        if name == "forget":
            curve = {
                "layer": list(range(lm.num_layers)),
                "subject": chances[:, 0].mean(0).tolist(),
                "prompt end": chances[:, 1].mean(0).tolist(),
            }
            report = {
                "median_best_rank": float(median(best.tolist())),
                "mean_best_probability": float(chances.flatten(1).amax(1).mean()),
            }
    prompts = {
        name: tuple(r.prompt if hit else "" for r, hit in zip(group, answered[name], strict=True))
        for name, group in facts.groups()
    }
    return {"lens": Outcome(answered, prompts, curve, report)}


def _read(
    lm: LanguageModel, readout: Readout, requests: Sequence[Request], batch_size: int
) -> tuple[Tensor, Tensor]:
    """Ranks (from 1) and probabilities (n, 2, layers) of the answers' first tokens: at the subject, at the end."""
    blocks = [f"{lm.architecture.layers}.{layer}" for layer in range(lm.num_layers)]
    wanted = torch.tensor([encode_answer(lm, request.answer, request.prompt)[0] for request in requests])
    ends = [ReadPrompt(r.prompt, len(r.prompt), True) for r in requests]
    subjects = [
        end if r.subject_end is None else ReadPrompt(r.prompt, r.subject_end)
        for r, end in zip(requests, ends, strict=True)
    ]
    ranks, chances = [], []
    for prompts in (subjects, ends):
        states = read_states(lm, blocks, prompts, batch_size, inputs=False)
        places = []
        for block in blocks:
            left = states[block][1]
            assert left is not None
            logs = readout.log_probabilities(left.T.to(lm.dtype)).float().cpu()  # (n, v)
            own = logs.gather(1, wanted[:, None])
            places.append(((logs > own).sum(1) + 1, own[:, 0].exp()))
        ranks.append(torch.stack([rank for rank, _ in places], 1))
        chances.append(torch.stack([chance for _, chance in places], 1))
    return torch.stack(ranks, 1), torch.stack(chances, 1)
