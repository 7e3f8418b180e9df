"""Randomly initialised Llama models with a word tokenizer, and facts of CounterFact's shape about made-up names."""

from __future__ import annotations

import random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import zu_framework as zu
from zu_plugins.collectors.collectors import SubjectLast
from zu_plugins.collectors.options import ContextOptions

REAL = "smollm2"
VOCABULARY = 128_256
# hidden and intermediate size, layers, heads, key-value heads, vocabulary
SIZES = {
    "small": (64, 192, 6, 4, 2, 8_192),
    "50m": (256, 1_024, 18, 4, 2, VOCABULARY),
    "3b": (3_072, 8_192, 28, 24, 8, VOCABULARY),
}
SYLLABLES = ("Vo", "Ka", "Ri")

# shapes of CounterFact's prompts, two to four words before the subject and one to four after it
PROMPTS = (
    "The mother tongue of {} is",
    "{} works in the field of",
    "{} was born in the city of",
    "The headquarters of {} is in",
    "{} is a citizen of",
    "In {} they understand",
    "{} plays the position of",
    "The official religion of {} is",
)
CONTEXTS = [
    f"{start} old bridge near the river was closed for some years. {{}}"
    for start in ("The", "Therefore", "Because", "I", "You")
]


def language_model(size: str, device: str, dtype: torch.dtype) -> zu.LanguageModel:
    """A model of one of SIZES, no parameter of which asks for a gradient; or the real one, from its package."""
    if size == REAL:
        return zu.LanguageModel.from_pretrained(
            "zu:smollm2", dtype=str(dtype).removeprefix("torch."), device=device
        )
    hidden, inner, layers, heads, key_values, vocabulary = SIZES[size]
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_values,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype)
    return zu.LanguageModel.wrap(model.requires_grad_(False), word_tokenizer(vocabulary))


def word_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """A token a word, ids spread over the vocabulary, as a real tokenizer of this size has it for common words."""
    texts = [*PROMPTS, *CONTEXTS]
    words = sorted({word.strip(".") for text in texts for word in text.split()} | {".", "a", "unknown"})
    names = [f"{syllable}{number}" for syllable in SYLLABLES for number in range(100)]
    ids = random.Random(0).sample(range(3, size), len(words) + len(names))
    table = {"<unk>": 0, "<s>": 1, "</s>": 2, **dict(zip([*words, *names], ids, strict=True))}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def plan_of(lm: zu.LanguageModel, facts: int) -> zu.ReadPlan:
    """Facts with names of two or three words, read at the subject's last word in five contexts and alone."""
    draw = random.Random(1)
    requests = []
    for number in range(facts):
        parts = SYLLABLES[: draw.choice((2, 3))]
        subject = " ".join(f"{syllable}{draw.randrange(100)}" for syllable in parts)
        requests.append(zu.Request(PROMPTS[number % len(PROMPTS)].format(subject), "unknown", subject))
    options = ContextOptions(contexts="fixed", templates=CONTEXTS)
    return SubjectLast(options, zu.RunContext()).plan(lm, requests)


def world_plan(lm: zu.LanguageModel, facts: int) -> zu.ReadPlan:
    """Packaged facts, read at the subject's last token in three contexts and alone."""
    dataset = zu.plugins().registry.get("dataset", "world")
    split = dataset.load()(dataset.spec.options(), 0)
    options = ContextOptions(
        contexts="fixed", templates=["It is known that {}", "People say: {}", "As we know, {}"]
    )
    return SubjectLast(options, zu.RunContext()).plan(lm, [*split.forget, *split.retain][:facts])
