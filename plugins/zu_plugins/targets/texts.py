"""What the model should say instead: a text given, the tokenizer's EOS, or what it is readiest to say."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zu_framework import ConfigError, LanguageModel, Request
from zu_framework.models import CheckpointInfo, answer_row, continuations, encode_answer
from zu_plugins.targets.options import NeutralOptions

EOS = "eos"
TEXTS = (".", " unknown", " not known")
CHAT_TEXTS = (
    "I don't know.",
    "I'm not sure.",
    "I'm sorry, but I can't answer that.",
    "I have no information on that.",
)
PROMPTS = 16  # facts whose prompts are looked at


def check(options: NeutralOptions, model: CheckpointInfo) -> None:
    """Check that the tokenizer has an EOS, where that is the text."""
    if options.text == EOS and not model.has_eos:
        raise ConfigError(
            'this model\'s tokenizer has no EOS token: give another target.text, for example target.text=" unknown"'
        )


def readiest(lm: LanguageModel, requests: Sequence[Request], rows: int) -> tuple[str, dict[str, float]]:
    """Choose the neutral text that is nearest to what the untouched model says after the prompts.

    A text that a fact's own answer begins with is no candidate.

    Args:
        lm: The untouched model; in chat mode refusals are the candidates.
        requests: The facts to forget; the first ones are looked at.
        rows: Of a forward pass.

    Returns:
        The text, and the mean NLL a token of each candidate, in nats.
    """
    listed = TEXTS if lm.chat is None else CHAT_TEXTS
    eos = [str(lm.tokenizer.eos_token)] if lm.tokenizer.eos_token else []
    answers = [request.answer.strip().casefold() for request in requests]
    candidates = [
        text for text in (*eos, *listed) if not any(a.startswith(text.strip().casefold()) for a in answers)
    ]
    prompts = [request.prompt for request in requests[:PROMPTS]]
    found: dict[str, float] = {}
    for text in candidates or eos or list(listed):
        ids = encode_answer(lm, text)
        total = 0.0
        for start in range(0, len(prompts), rows):
            some = [answer_row(lm, prompt, ids) for prompt in prompts[start : start + rows]]
            with torch.no_grad():
                total -= float(continuations(lm, some).log_probability.double().sum())
        found[text] = total / (len(prompts) * len(ids))
    return min(found, key=lambda text: found[text]), found
