"""Time the background sweep against a bare forward pass of the same tokens, in one run on one machine.

    python -m tests.benchmarks.background                     Llama architecture, 8 layers of width 512
    python -m tests.benchmarks.background --device cuda --hidden 3072 --inner 8192 --layers 28 --heads 24

Random weights and text. Ours is the whole of `background_moments`: reading and hashing the text, tokens, fingerprint of
the weights, passes, sums, and the entry on disk. The reference is the model's own forward pass over the same batches,
stopped above the same layer, with nothing read. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.benchmarks.measuring import in_turn, machine, product_rate
from zu_framework import LanguageModel
from zu_framework.engine.statistics import WINDOW, background_moments, batches
from zu_framework.models import Row, batch, encode_all, run_until
from zu_framework.store.cache import TensorCache
from zu_framework.testing import tiny_tokenizer

WORDS = [
    "the",
    "old",
    "bridge",
    "was",
    "closed",
    "because",
    "school",
    "is",
    "small",
    "and",
    "you",
    "can",
    "reach",
    "it",
    "by",
    "train",
    "in",
    "winter",
]


def language_model(asked: argparse.Namespace) -> LanguageModel:
    """A randomly initialised model of the Llama architecture with a small tokenizer that any text passes."""
    config = AutoConfig.for_model(
        "llama", hidden_size=asked.hidden, intermediate_size=asked.inner, num_hidden_layers=asked.layers,
        num_attention_heads=asked.heads, num_key_value_heads=asked.heads // 4, vocab_size=asked.vocabulary,
        max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, asked.dtype)).to(asked.device)
    return LanguageModel.wrap(model, tiny_tokenizer())


def documents(count: int) -> list[str]:
    """Texts of 10 to 400 words, short ones more often, as in a corpus of articles."""
    draw = random.Random(0)
    return [
        " ".join(draw.choices(WORDS, k=min(400, 10 + int(draw.expovariate(1 / 90))))) for _ in range(count)
    ]


def batches_of(lm: LanguageModel, texts: list[str], max_tokens: int, tokens: int) -> list[list[Row]]:
    """The batches that the sweep makes of these texts: rows sorted by length within windows."""
    made, rows, size = [], [], 0
    for encoding in encode_all(lm.tokenizer, texts):
        rows.append(Row(encoding.ids[:max_tokens], 0))
        size += len(rows[-1].ids)
        if size >= tokens * WINDOW:
            made += batches(sorted(rows, key=lambda row: len(row.ids)), tokens)
            rows, size = [], 0
    return [*made, *batches(sorted(rows, key=lambda row: len(row.ids)), tokens)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--inner", type=int, default=1408)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--documents", type=int, default=150)
    parser.add_argument("--tokens", type=int, default=4096, help="of a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    lm, texts = language_model(asked), documents(asked.documents)
    layer = asked.layers * 2 // 3
    sites = [lm.site(at) for at in range(layer - 2, layer + 1)]
    last = sites[-1:]
    rows = batches_of(lm, texts, 512, asked.tokens)
    tokens = sum(len(row.ids) for made in rows for row in made)
    padded = sum(len(made) * max(len(row.ids) for row in made) for made in rows)

    def bare(made_of: list[list[Row]]) -> Callable[[], None]:
        def run() -> None:
            for chosen in made_of:
                made = batch(chosen, lm.device)
                run_until(lm, [last[0].module], made.input_ids, made.attention_mask, lambda *_: None)

        return run

    def sweep(moment: str, where: list[str]) -> Callable[[], None]:
        chosen = [site for site in sites if site.module in where]

        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                background_moments(
                    lm, chosen, frozenset({moment}), lambda: texts, max_tokens=512,
                    batch_tokens=asked.tokens, progress=lambda *_: None, cache=TensorCache(Path(folder)),
                )  # fmt: skip

        return run

    three, one = [site.module for site in sites], [last[0].module]
    bare(rows[:1])()
    runs = {
        "bare forward, the same batches": bare(rows),
        "bare forward, one document a batch": bare([[row] for made in rows for row in made]),
        "value moment, one site": sweep("value_moment", one),
        "value moments, three sites": sweep("value_moment", three),
        "key moment, one site": sweep("key_moment", one),
        "key moments, three sites": sweep("key_moment", three),
    }
    found = in_turn(runs, asked.repeats)
    plain = found["bare forward, the same batches"].seconds
    rate = product_rate(torch.float32, asked.device)
    # weights of the layers below and the MLP's own, twice a token; a symmetric product is half of a square one
    each = sum(p.numel() for p in lm.model.get_submodule(sites[0].block).parameters())
    passed = 2.0 * each * (layer + 1)
    flops = {"value": float(asked.hidden**2), "key": float(asked.inner**2)}

    print(
        f"{sum(p.numel() for p in lm.model.parameters()) / 1e6:.0f} M parameters (Llama architecture, {asked.layers} "
        f"layers, {asked.hidden} / {asked.inner}, {asked.dtype}), sites up to layer {layer}; {asked.documents} "
        f"documents, {tokens} tokens, {padded / tokens - 1:.1%} padding, {asked.tokens} tokens a batch; "
        f"{machine(asked.threads)}; float32 products at {rate / 1e9:.0f} GFLOP/s\n"
    )
    print("| what | seconds | tokens/s | against the bare forward | floor | peak extra memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, took in found.items():
        count = 3 if "three" in name else 1
        added = sum(f for kind, f in flops.items() if name.startswith(kind)) * count
        floor = f"{1 + added / passed:.2f}" if added else ""
        print(
            f"| {name} | {took.seconds:.2f} | {tokens / took.seconds:.0f} | {took.seconds / plain:.2f} | {floor} | "
            f"{took.extra_mib:.0f} MiB |"
        )
    print("\nfloor: 1 + the symmetric products' FLOPs over the forward pass's, at one rate")


if __name__ == "__main__":
    main()
