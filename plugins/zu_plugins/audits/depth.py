"""`depth`: the Unlearning Depth Score: how much of the knowledge is gone from the hidden states, layer by layer.

Source: Lee et al. 2026, "Measuring the Depth of LLM Unlearning via Activation Patching" (arXiv 2605.24614).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome
from zu_framework.models import answer_row
from zu_plugins.audits.options import DepthOptions
from zu_plugins.audits.patching import costs, states_of


def audit(
    lm: LanguageModel, facts: AuditFacts, options: DepthOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Patch hidden states into the untouched model, and see what that costs the answer.

    The states after a layer, where the answer's tokens are predicted, are replaced by those of another model: d1 is
    what the states of a model that never knew the fact cost the answer (nats a token), d2 what those of the model under
    attack cost. Over the layers with d1 above the threshold, UDS = sum d1 clip(d2 / d1, 0, 1) / sum d1: 0 intact, 1
    erased. A fact's number is 1 - UDS, what is still there; None for a fact of which no layer shows knowledge.
    The model that never knew is the retrained twin; without one, the untouched model that reads the same wording with
    an invented subject.

    Raises:
        AuditError: There is no untouched model, or neither a twin nor control facts.
    """
    if context.base is None:
        raise AuditError("depth compares with the untouched model: give --base")
    strangers = facts.control if len(facts.control) == len(facts.forget) else ()
    if context.twin is None and not strangers:
        raise AuditError("depth wants a retrained twin (evaluate.reference), or facts with a subject")
    answered: list[float | None] = []
    curve = torch.zeros(2, lm.num_layers, dtype=torch.float64)
    size = max(1, context.batch_size // 2)
    for start in range(0, len(facts.forget), size):
        some = facts.forget[start : start + size]
        rows = [answer_row(lm, request.prompt, request.answer) for request in some]
        if context.twin is not None:
            ignorant = states_of(context.twin, rows)
        else:
            unknown = zip(strangers[start : start + size], some, strict=True)
            ignorant = states_of(context.base, [answer_row(lm, r.prompt, own.answer) for r, own in unknown])
        first, second = costs(context.base, rows, [ignorant, states_of(lm, rows)])  # (n, layers) each
        answered += [remaining(a, b, options.threshold) for a, b in zip(first, second, strict=True)]
        curve += torch.stack([first.sum(0), second.sum(0)])
        context.progress("patching hidden states", min(start + size, len(facts.forget)), len(facts.forget))
    known = [value for value in answered if value is not None]
    curve /= max(1, len(facts.forget))
    return {
        "depth": Outcome(
            {"forget": tuple(answered)},
            {
                "forget": tuple(
                    r.prompt if value else "" for r, value in zip(facts.forget, answered, strict=True)
                )
            },
            {
                "layer": list(range(lm.num_layers)),
                "never knew": curve[0].tolist(),
                "edited": curve[1].tolist(),
            },
            {"uds": 1 - sum(known) / len(known) if known else None, "facts": len(known)},
        )
    }


def remaining(first: Tensor, second: Tensor, threshold: float) -> float | None:
    """Return 1 - UDS of one fact from its costs by layer, d1 and d2 (l,); None where no d1 is above the threshold."""
    holds = first > threshold
    if not bool(holds.any()):
        return None
    weight, cost = first[holds], second[holds]
    return 1.0 - float((weight * (cost / weight).clamp(0, 1)).sum() / weight.sum())
