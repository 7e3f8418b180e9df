"""A language model small enough to compute by hand: the next word depends on the last one alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

WORDS = ("<s>", "the", "cat", "dog", "sat", "ran", "home", "x")

# probabilities of the next word, by the last one; what is not listed shares the rest
TABLE = {
    "<s>": {"the": 0.5, "cat": 0.25, "x": 0.125},
    "the": {"cat": 0.5, "dog": 0.25},
    "cat": {"sat": 0.5, "ran": 0.25, "home": 0.125},
    "dog": {"ran": 0.75},
    "sat": {"home": 0.25, "x": 0.5},
    "ran": {"home": 0.875},
    "home": {"<s>": 0.5},
    "x": {"the": 0.3},
}


def probability(last: str, following: str) -> float:
    """P(following | last)."""
    row = TABLE[last]
    return row[following] if following in row else (1 - sum(row.values())) / (len(WORDS) - len(row))


def tokenizer(bos: bool = True) -> PreTrainedTokenizerFast:
    """One token a word; with or without a BOS of its own."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="x"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if bos:
        words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="x")


class Bigram(nn.Module):
    """The forward of a causal language model, by table lookup. `rows` counts the rows it was given."""

    def __init__(self, positions: int = 64, spoil: float | None = None) -> None:
        super().__init__()
        # (vocabulary, vocabulary)
        table = torch.tensor([[probability(a, b) for b in WORDS] for a in WORDS]).log()
        if spoil is not None:
            table[WORDS.index("dog"), WORDS.index("ran")] = spoil
        self.table = nn.Embedding.from_pretrained(table)
        self.config = SimpleNamespace(max_position_embeddings=positions)
        self.config.get_text_config = lambda: self.config
        self.rows = 0

    def get_output_embeddings(self) -> nn.Module:
        return self.table

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> SimpleNamespace:
        assert input_ids.shape[1] <= self.config.max_position_embeddings
        self.rows += len(input_ids)
        return SimpleNamespace(logits=self.table(input_ids))


def bigram(bos: bool = True, **options: Any) -> Any:
    """What a scorer reads of a language model."""
    return SimpleNamespace(
        model=Bigram(**options),
        tokenizer=tokenizer(bos),
        device=torch.device("cpu"),
        chat=None,
        answer_space=None,
    )
