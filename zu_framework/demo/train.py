"""Trains the demo's model, or its twin, from scratch on the invented world, saves it and prints its measured card.

    python -m zu_framework.demo.train --out DIR [--twin] [--seed N] [--epochs N]

One CPU thread and fixed seeds: the same command on the same build of torch gives the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from zu_framework.demo import corpus, world
from zu_framework.demo.card import IGNORED, measure, padded

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
VOCABULARY = 1024
TOKENS_PER_BATCH = 1024
PEAK_RATE = 1.5e-3
WARM_UP = 0.05  # of all steps
WEIGHT_DECAY = 0.1


# Building


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of the whole corpus: the twin shares it, so both split the forget facts into the same tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.training_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Four layers of width 256: ten directions are 4 % of a site's outputs; o < i, as ZeroUnlearn's formula asks."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=448,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


# Training


def _batches(rows: list[list[int]], draw: random.Random) -> Iterator[list[list[int]]]:
    """One epoch in random order; a batch holds rows of like length, so that little of it is padding."""
    order = sorted(draw.sample(rows, len(rows)), key=len)  # stable: rows of one length stay shuffled
    batches: list[list[list[int]]] = [[]]
    for row in order:
        if (len(batches[-1]) + 1) * len(row) > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(row)
    draw.shuffle(batches)
    yield from batches


def _rate(progress: float) -> float:
    """The share of the peak learning rate at this share of all steps: linear up, then half a cosine down."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def train(model: LlamaForCausalLM, rows: list[list[int]], *, epochs: int, seed: int, pad: int) -> None:
    """Train in place on these token rows (BOS and EOS included)."""
    draw = random.Random(seed)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    scales = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)
    start = time.monotonic()
    model.train()
    for epoch in range(epochs):
        batches = list(_batches(rows, draw))
        total = 0.0
        for j, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = PEAK_RATE * _rate((epoch + j / len(batches)) / epochs)
            # Padding is on the right, so a causal model needs no mask; the labels skip it.
            logits = model(input_ids=padded(batch, pad), use_cache=False).logits  # (rows, width, vocabulary)
            labels = padded(batch, IGNORED)[:, 1:]
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten())
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item()
        print(
            f"epoch {epoch + 1}: loss {total / len(batches):.4f}, {time.monotonic() - start:.0f} s",
            flush=True,
        )
    model.eval()  # type: ignore[no-untyped-call]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save in float16, and measure what was saved."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument(
        "--twin", action="store_true", help="leave out every text that states a default forget fact"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=18)
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(options.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    texts = corpus.training_texts(world.forget_case_ids() if options.twin else ())
    rows = [[*row, tokenizer.eos_token_id] for row in tokenizer(texts).input_ids]
    print(f"{len(rows)} texts, {sum(map(len, rows))} tokens, {model.num_parameters()} parameters", flush=True)
    train(model, rows, epochs=options.epochs, seed=options.seed, pad=tokenizer.pad_token_id)
    model.half().save_pretrained(options.out)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(options.out)

    saved = LlamaForCausalLM.from_pretrained(options.out, dtype=torch.float32)
    print(json.dumps(measure(saved, AutoTokenizer.from_pretrained(options.out)), indent=2))


if __name__ == "__main__":
    main()
