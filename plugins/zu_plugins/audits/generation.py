"""What a model writes after a prompt, drawn at a temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from zu_framework import LanguageModel
from zu_framework.models import encode_prompt

# whatever the checkpoint asks of generation: nothing is cut off, penalised or forbidden
PLAIN = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


def draws(
    lm: LanguageModel,
    prompts: Sequence[str],
    *,
    count: int,
    tokens: int,
    temperature: float,
    seed: int,
    batch_size: int,
) -> list[list[str]]:
    """Return `count` completions of each prompt, drawn from the whole vocabulary at a temperature.

    Prompts are drawn one after the other, each with its own seed: what one of them gives does not depend on the others.
    The global random state is left as it was.
    """
    found = []
    devices = [lm.device] if lm.device.type == "cuda" else []
    for number, prompt in enumerate(prompts):
        texts: list[str] = []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed * 100_003 + number)
            while len(texts) < count:
                texts += _generated(lm, prompt, min(batch_size, count - len(texts)), tokens, temperature)
        found.append(texts)
    return found


@torch.no_grad()
def _generated(lm: LanguageModel, prompt: str, count: int, tokens: int, temperature: float) -> list[str]:
    ids = torch.tensor([encode_prompt(lm, prompt).ids], device=lm.device)
    generate: Any = lm.model.generate
    end = lm.tokenizer.eos_token_id
    whole = generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=temperature,
        **PLAIN,
        num_return_sequences=count,
        max_new_tokens=tokens,
        pad_token_id=end if end is not None else 0,
    )
    return [lm.tokenizer.decode(row, skip_special_tokens=True) for row in whole[:, ids.shape[1] :].tolist()]
