"""Three requests with contexts and anchors, optimised at a module of a tiny model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.plugins.targets.test_neutral import OPTIONS, made
from zu_framework import LanguageModel
from zu_framework.models import answer_ids
from zu_framework.states.batches import optimise
from zu_framework.states.descent import Optimised
from zu_plugins.targets.options import NeutralOptions

PLAIN = {"replay": "none"}


def run(lm: LanguageModel, module: str, options: NeutralOptions = OPTIONS, **changes: Any) -> Optimised:
    """Three requests with contexts and anchors, each to say its own answer."""
    _, plan, _ = made(lm)
    texts = [answer_ids(lm.tokenizer, request.answer) for request in plan.requests]
    return optimise(lm, module, plan, texts, replace(options, **changes))
