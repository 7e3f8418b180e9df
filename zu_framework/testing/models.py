"""Randomly initialised models of many transformers families, a few thousand parameters each, made offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from zu_framework.models import LanguageModel

BOS, EOS = "<s>", "</s>"
HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 32, 48, 3, 4, 128

# what the tokenizer learns its merges from; every other text falls back to bytes
_CORPUS = [
    "The capital of France is Paris. The mother tongue of Anna Norton is Italian.",
    "Irene Osborn works as a teacher. The old bridge was closed because the school was small.",
    "People say that you can reach it by train in winter. Therefore it is unknown.",
]

_LLAMA: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
}
_GPT2: dict[str, Any] = {
    "n_embd": HIDDEN,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_inner": INNER,
    "n_positions": POSITIONS,
}
_MOE: dict[str, Any] = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
_MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 4}
_DELTA: dict[str, Any] = {
    "head_dim": 8,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_PER_LAYER: dict[str, Any] = {
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 400,
    "num_kv_shared_layers": 1,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": {**_LLAMA, "mlp_bias": False},
    "mistral": {**_LLAMA, "sliding_window": None},
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 8},
    "gemma2": {**_LLAMA, "head_dim": 8},
    "gemma3_text": {**_LLAMA, "head_dim": 8},
    "phi3": {**_LLAMA, "pad_token_id": 0},
    "olmo2": _LLAMA,
    "stablelm": _LLAMA,
    "gpt2": _GPT2,
    "gptj": {**_GPT2, "rotary_dim": 4},
    "gpt_neox": {k: v for k, v in _LLAMA.items() if k != "num_key_value_heads"},
    "opt": {
        "hidden_size": HIDDEN,
        "ffn_dim": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        "word_embed_proj_dim": HIDDEN,
    },
    "falcon": {
        "hidden_size": HIDDEN,
        "ffn_hidden_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "bias": True,
        "new_decoder_architecture": False,
        "alibi": False,
        "max_position_embeddings": POSITIONS,
    },
    "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS},
    "qwen3_moe": {
        **_LLAMA,
        **_MOE,
        "head_dim": 8,
        "moe_intermediate_size": 16,
        "mlp_only_layers": [0, 2],
    },
    "mixtral": {**_LLAMA, **_MOE},
    "openai-gpt": _GPT2,
    # attention beside convolutions, state-space mixers or recurrences; each layer has a dense MLP
    "qwen3_5_text": {
        **_LLAMA,
        **_DELTA,
        "layer_types": ["linear_attention", "linear_attention", "full_attention"],
    },
    "lfm2": {**_LLAMA, "layer_types": ["conv", "conv", "full_attention"]},
    "falcon_h1": {**_LLAMA, **_MAMBA, "head_dim": 8, "mamba_d_ssm": 2 * HIDDEN},
    "bamba": {**_LLAMA, **_MAMBA, "attn_layer_indices": [1]},
    "granitemoehybrid": {
        **_LLAMA,
        **_MAMBA,
        "num_local_experts": 0,
        "shared_intermediate_size": INNER,
        "layer_types": ["mamba", "attention", "mamba"],
    },
    "recurrent_gemma": {
        **_LLAMA,
        "intermediate_size": 2 * INNER,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "lru_width": HIDDEN,
        "attention_window_size": 64,
    },
    # every second layer routes tokens to experts
    "jamba": {
        **_LLAMA,
        **_MOE,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "pad_token_id": 0,
    },
    # embeddings of their own for each layer, beside the MLP
    "gemma3n_text": {
        **_LLAMA,
        **_PER_LAYER,
        "head_dim": 8,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0] * LAYERS,
    },
    "gemma4_text": {**_LLAMA, **_PER_LAYER, "head_dim": 8, "global_head_dim": 8},
    # no layer has an MLP that treats each token alone: refused
    "mamba": {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "state_size": 4},
    "rwkv": {"hidden_size": HIDDEN, "attention_hidden_size": HIDDEN, "num_hidden_layers": LAYERS},
}

# families of which no layer can be edited, and why is said
NO_SITES = ("mixtral", "mamba", "rwkv")

# BOS, then a marked turn a message; trims what users say, as Llama 3's template does
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHAT_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


def tiny_tokenizer(
    *, bos: bool = True, pad: bool = True, side: str = "right", chat: bool = False
) -> PreTrainedTokenizerFast:
    """Build a byte-level BPE tokenizer of about 400 tokens: any text can be encoded.

    Args:
        bos: Whether it puts a BOS before each text.
        pad: Whether it has a pad token.
        side: Where it pads: "left" or "right".
        chat: Whether it has a chat template, `CHAT_TEMPLATE`, and a token for each of its marks.

    Returns:
        The tokenizer, always the same for the same arguments.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    named = {"pad_token": "<pad>"} if pad else {}
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, padding_side=side, **named
    )
    if chat:
        made.add_special_tokens({"additional_special_tokens": list(CHAT_TOKENS)})
        made.chat_template = CHAT_TEMPLATE
    return made


def tiny_model(
    family: str = "llama",
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float32,
    tokenizer: PreTrainedTokenizerFast | None = None,
    **changes: Any,
) -> LanguageModel:
    """Build a model with seeded random weights, three layers of width 32.

    Weights have a larger spread than at the usual start, so that what an edit does can be seen in the logits; biases
    are random too.

    Args:
        family: One of `FAMILIES`.
        seed: Of the weights.
        dtype: Of the weights.
        tokenizer: Another than `tiny_tokenizer()`.
        changes: Config entries to set otherwise.

    Returns:
        The model with its tokenizer.

    Raises:
        ValueError: The family is unknown.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: {', '.join(FAMILIES)}")
    tokenizer = tokenizer or tiny_tokenizer()
    entries = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **FAMILIES[family],
        **changes,
    }
    config = AutoConfig.for_model(family, **entries)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        factory: Any = AutoModelForCausalLM
        model = factory.from_config(config, dtype=torch.float32)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim >= 2:
                    parameter.normal_(0, 0.15, generator=generator)
                elif name.endswith("bias"):
                    parameter.normal_(0, 0.1, generator=generator)
    finally:
        torch.random.set_rng_state(state)
    return LanguageModel.wrap(model.to(dtype), tokenizer)
