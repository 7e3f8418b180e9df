"""Time the background sweep against a bare forward pass of the same tokens, in one run on one machine.

    python -m tests.benchmarks.background                     Llama architecture, 8 layers of width 512
    python -m tests.benchmarks.background --device cuda --hidden 3072 --inner 8192 --layers 28 --heads 24

Random weights and text. Ours is the whole of `background_moments`: reading and hashing the text, tokens, fingerprint of
the weights, passes, sums, and the entry on disk. The reference is the model's own forward pass over the same batches,
stopped above the same layer, with nothing read. Prints a Markdown table; the floor is 1 plus the symmetric products'
FLOPs over those of the forward pass, at one rate.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import zu_framework as zu
from tests.benchmarks.commands import machine, parser, table, threads_of
from tests.benchmarks.measuring import in_turn, product_rate
from zu_framework.engine.statistics import WINDOW, background_moments, batches
from zu_framework.models import Row, batch, encode_all, run_until
from zu_framework.store.cache import TensorCache
from zu_framework.testing import tiny_tokenizer

WORDS = "the old bridge was closed because school is small and you can reach it by train in winter"
MAX_TOKENS = 512  # of a document


def main() -> None:
    """Print the table."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    lm, texts = language_model(asked), documents(asked.documents)
    layer = asked.layers * 2 // 3
    sites = [lm.site(at) for at in range(layer - 2, layer + 1)]
    rows = batches_of(lm, texts, asked.tokens)
    tokens = sum(len(row.ids) for made in rows for row in made)
    padded = sum(len(made) * max(len(row.ids) for row in made) for made in rows)

    def bare(made: Sequence[list[Row]]) -> Callable[[], None]:
        return lambda: forward(lm, sites[-1], made)

    def moments(kind: str, some: Sequence[zu.Site]) -> Callable[[], None]:
        return lambda: sweep(lm, some, kind, texts, asked.tokens)

    bare(rows[:1])()
    plain = "bare forward, the same batches"
    found = in_turn(
        {
            plain: bare(rows),
            "bare forward, one document a batch": bare([[row] for made in rows for row in made]),
            "value moment, one site": moments("value_moment", sites[-1:]),
            "value moments, three sites": moments("value_moment", sites),
            "key moment, one site": moments("key_moment", sites[-1:]),
            "key moments, three sites": moments("key_moment", sites),
        },
        asked.repeats,
        asked.device,
    )
    # weights of the layers below and the MLP's own, twice a token; a symmetric product is half of a square one
    each = sum(p.numel() for p in lm.model.get_submodule(sites[0].block).parameters())
    passed = 2.0 * each * (layer + 1)
    squares = {"value": float(asked.hidden**2), "key": float(asked.inner**2)}
    print(
        f"{sum(p.numel() for p in lm.model.parameters()) / 1e6:.0f} M parameters (Llama architecture, {asked.layers} "
        f"layers, {asked.hidden} / {asked.inner}, {asked.dtype}), sites up to layer {layer}; {asked.documents} "
        f"documents, {tokens} tokens, {padded / tokens - 1:.1%} padding, {asked.tokens} tokens a batch; {machine()}; "
        f"float32 products at {product_rate(torch.float32, asked.device)[0] / 1e9:.0f} GFLOP/s\n"
    )
    shown = []
    for name, took in found.items():
        added = sum(f for kind, f in squares.items() if name.startswith(kind)) * (3 if "three" in name else 1)
        floor = f"{1 + added / passed:.2f}" if added else ""
        rate, ratio = f"{tokens / took.seconds:.0f}", f"{took.seconds / found[plain].seconds:.2f}"
        shown.append((name, f"{took.seconds:.2f}", rate, ratio, floor, f"{took.extra_mib:.0f} MiB"))
    print(
        table(
            ("what", "seconds", "tokens/s", "against the bare forward", "floor", "peak extra memory"), shown
        )
    )


def language_model(asked: argparse.Namespace) -> zu.LanguageModel:
    """A randomly initialised model of the Llama architecture with a small tokenizer that any text passes."""
    config = AutoConfig.for_model(
        "llama",
        hidden_size=asked.hidden,
        intermediate_size=asked.inner,
        num_hidden_layers=asked.layers,
        num_attention_heads=asked.heads,
        num_key_value_heads=asked.heads // 4,
        vocab_size=asked.vocabulary,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, asked.dtype)).to(asked.device)
    return zu.LanguageModel.wrap(model, tiny_tokenizer())


def documents(count: int) -> list[str]:
    """Texts of 10 to 400 words, short ones more often, as in a corpus of articles."""
    draw = random.Random(0)
    lengths = [min(400, 10 + int(draw.expovariate(1 / 90))) for _ in range(count)]
    words = WORDS.split()
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


def batches_of(lm: zu.LanguageModel, texts: list[str], tokens: int) -> list[list[Row]]:
    """The batches that the sweep makes of these texts: rows sorted by length within windows."""
    made, rows, size = [], [], 0
    for encoding in encode_all(lm.tokenizer, texts):
        rows.append(Row(encoding.ids[:MAX_TOKENS], 0))
        size += len(rows[-1].ids)
        if size >= tokens * WINDOW:
            made += batches(sorted(rows, key=lambda row: len(row.ids)), tokens)
            rows, size = [], 0
    return [*made, *batches(sorted(rows, key=lambda row: len(row.ids)), tokens)]


def forward(lm: zu.LanguageModel, last: zu.Site, rows: Sequence[list[Row]]) -> None:
    """The reference: passes that end above the last site."""
    for chosen in rows:
        made = batch(chosen, lm.device)
        run_until(lm, [last.module], made.input_ids, made.attention_mask, lambda *_: None)


def sweep(lm: zu.LanguageModel, sites: Sequence[zu.Site], kind: str, texts: list[str], tokens: int) -> None:
    """Ours: one kind of moment at the sites, into a cache folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        background_moments(
            lm,
            list(sites),
            frozenset({kind}),
            lambda: texts,
            max_tokens=MAX_TOKENS,
            batch_tokens=tokens,
            progress=lambda *_: None,
            cache=TensorCache(Path(folder)),
        )


def _arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--hidden", type=int, default=512)
    arguments.add_argument("--inner", type=int, default=1408)
    arguments.add_argument("--layers", type=int, default=8)
    arguments.add_argument("--heads", type=int, default=8)
    arguments.add_argument("--vocabulary", type=int, default=32000)
    arguments.add_argument("--documents", type=int, default=150)
    arguments.add_argument("--tokens", type=int, default=4096, help="of a batch")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--dtype", default="float32")
    arguments.add_argument("--device", default="cpu")
    threads_of(arguments)
    return arguments.parse_args()


if __name__ == "__main__":
    main()
