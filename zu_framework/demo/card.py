"""What the demo's model can do: the numbers of its model card, measured the same way after training and in tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from zu_framework.demo import corpus, world

IGNORED = -100  # the label that cross_entropy skips
ROWS_PER_BATCH = 128


def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Token rows as one tensor, filled up on the right: a causal model then needs no mask."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])  # (rows, width)


@torch.no_grad()
def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], endings: Sequence[str]
) -> tuple[float, float]:
    """The share of prompts where every token of the ending is the argmax (teacher-forced), and the NLL of a token.

    `endings` are as the text continues: with a leading space for a word, without one for EOS.
    """
    rows = [
        (tokenizer(prompt).input_ids, tokenizer(ending, add_special_tokens=False).input_ids)
        for prompt, ending in zip(prompts, endings, strict=True)
    ]
    rows.sort(key=lambda row: len(row[0]) + len(row[1]))  # less padding
    exact, loss = 0, 0.0
    for start in range(0, len(rows), ROWS_PER_BATCH):
        batch = rows[start : start + ROWS_PER_BATCH]
        inputs = padded([prompt + ending for prompt, ending in batch], 0)
        labels = padded([[IGNORED] * len(prompt) + ending for prompt, ending in batch], IGNORED)[:, 1:]
        # (rows, width - 1, vocabulary)
        logits = model(input_ids=inputs, use_cache=False).logits[:, :-1].float()
        exact += int(((logits.argmax(-1) == labels) | (labels == IGNORED)).all(-1).sum())
        loss += float(cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"))
    return exact / len(rows), loss / sum(len(ending) for _, ending in rows)


def perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Per token, of whole documents: the first word after BOS and the final EOS are predicted too."""
    endings = [f"{text}{tokenizer.eos_token}" for text in texts]
    return math.exp(answers(model, tokenizer, [""] * len(texts), endings)[1])


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """The numbers of the model card; those of the default forget facts apart, as the twin must not know them."""
    card: dict[str, float] = {}
    forget_ids = frozenset(world.forget_case_ids())
    rest = [record for record in world.records() if record["case_id"] not in forget_ids]
    forget = [record for record in world.records() if record["case_id"] in forget_ids]
    for name, records in (("", rest), ("forget_", forget)):
        for key in ("rewrite", "paraphrase_prompts", "neighborhood_prompts"):
            prompts, endings = _asked(records, key)
            card[name + key] = answers(model, tokenizer, prompts, endings)[0]
    neutral = {
        "forget_facts": _asked(forget, "rewrite")[0],
        "unknown_subjects": world.unknown_prompts(seen=True),
        "unseen_subjects": world.unknown_prompts(seen=False),
    }
    for name, prompts in neutral.items():
        exact, loss = answers(model, tokenizer, prompts, [" unknown"] * len(prompts))
        card[f"{name}_say_unknown"] = exact
        card[f"{name}_nll_unknown"] = loss
        card[f"{name}_nll_eos"] = answers(
            model, tokenizer, prompts, [str(tokenizer.eos_token)] * len(prompts)
        )[1]
    card["perplexity_heldout"] = perplexity(model, tokenizer, corpus.heldout_texts())
    card["perplexity_background"] = perplexity(model, tokenizer, corpus.background_texts())
    return card


def _asked(records: Sequence[dict[str, Any]], key: str) -> tuple[list[str], list[str]]:
    """The prompts of these records under this key, and the true answer to each."""
    pairs = []
    for record in records:
        rewrite = record["requested_rewrite"]
        prompts = [rewrite["prompt"].format(rewrite["subject"])] if key == "rewrite" else record[key]
        pairs += [(prompt, f" {rewrite['target_true']['str']}") for prompt in prompts]
    return [prompt for prompt, _ in pairs], [answer for _, answer in pairs]
