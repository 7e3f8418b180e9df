"""A small random Llama over the words of the bigram."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.evaluation.bigram import WORDS


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    """Random weights, large enough ones that its argmax is no accident of rounding."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=0.5,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()
