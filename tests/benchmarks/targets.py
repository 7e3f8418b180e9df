"""Time the target states against the published loop, in one process: ours, the reference, their ratio, the floor.

    python -m tests.benchmarks.targets                      small and 50m on the CPU, then a whole run
    python -m tests.benchmarks.targets --size 3b --device cuda --dtype bfloat16

Randomly initialised models of the Llama architecture. The reference optimises one request at a time, runs the whole
model and takes logits and log-probabilities of the whole vocabulary at every token. The floor is what our arithmetic
(products counted by torch) takes at the rate of a large matrix product on this machine. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import random
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import zu_framework as zu
from zu_framework.models import batch, row_of
from zu_framework.registry.manager import load_plugins
from zu_plugins.collectors.collectors import SubjectLast
from zu_plugins.collectors.options import ContextOptions
from zu_plugins.targets.descent import Optimised
from zu_plugins.targets.neutral import Neutral
from zu_plugins.targets.optimise import optimise
from zu_plugins.targets.options import NeutralOptions

VOCABULARY = 128_256
SIZES: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 6, "num_attention_heads": 4,
              "num_key_value_heads": 2, "vocab_size": 8_192},
    "50m": {"hidden_size": 256, "intermediate_size": 1_024, "num_hidden_layers": 18, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": VOCABULARY},
    "3b": {"hidden_size": 3_072, "intermediate_size": 8_192, "num_hidden_layers": 28, "num_attention_heads": 24,
           "num_key_value_heads": 8, "vocab_size": VOCABULARY},
}  # fmt: skip

# shapes of CounterFact's prompts, two to four words before the subject and one to four after it
PROMPTS = [
    "The mother tongue of {} is", "{} works in the field of", "{} was born in the city of",
    "The headquarters of {} is in",
    "{} is a citizen of", "In {} they understand", "{} plays the position of", "The official religion of {} is",
]  # fmt: skip
CONTEXTS = [
    f"{start} old bridge near the river was closed for some years. {{}}"
    for start in ("The", "Therefore", "Because", "I", "You")
]


def made_up_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """A token a word, ids spread over the vocabulary, as a real tokenizer of this size has it for common words."""
    words = sorted(
        {w.strip(".") for text in [*PROMPTS, *CONTEXTS] for w in text.split()} | {".", "a", "unknown"}
    )
    names = [f"{syllable}{number}" for syllable in ("Vo", "Ka", "Ri") for number in range(100)]
    ids = random.Random(0).sample(range(3, size), len(words) + len(names))
    table = {"<unk>": 0, "<s>": 1, "</s>": 2, **dict(zip([*words, *names], ids, strict=True))}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def made_up_model(size: str, device: str, dtype: torch.dtype) -> zu.LanguageModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        **SIZES[size], tie_word_embeddings=True, max_position_embeddings=512, bos_token_id=1, eos_token_id=2
    )
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype)
    return zu.LanguageModel.wrap(model, made_up_tokenizer(config.vocab_size))


def plan_of(lm: zu.LanguageModel, facts: int) -> zu.ReadPlan:
    """Facts with names of two or three words, read at the subject's last word in five contexts and alone."""
    draw = random.Random(1)
    requests = []
    for number in range(facts):
        subject = " ".join(
            f"{syllable}{draw.randrange(100)}" for syllable in ("Vo", "Ka", "Ri")[: draw.choice((2, 3))]
        )
        requests.append(zu.Request(PROMPTS[number % len(PROMPTS)].format(subject), "unknown", subject))
    options = ContextOptions(contexts="fixed", templates=CONTEXTS)
    return SubjectLast(options, zu.RunContext()).plan(lm, requests)


# ---------------------------------------------------------------------------------------------- the reference


def published_loop(
    lm: zu.LanguageModel, block: str, plan: zu.ReadPlan, ids: list[int], o: NeutralOptions
) -> Optimised:
    """The published `compute_z` of one request, as written: whole model, whole vocabulary, every token, each step."""
    (prompts,), (anchor,) = plan.prompts, plan.anchors
    assert anchor is not None
    rows = [*(row_of(lm, p, ids[:-1]) for p in prompts), row_of(lm, anchor)]
    made = batch(rows, lm.device)
    lines = torch.arange(len(rows), device=lm.device)
    targets = torch.full_like(made.input_ids, -100)
    for number, row in enumerate(rows[:-1]):
        start = len(row.ids) - 1
        targets[number, start : start + len(ids)] = torch.tensor(ids, device=lm.device)
    said = targets[:-1] >= 0
    work = torch.float64 if lm.dtype == torch.float64 else torch.float32
    delta = torch.zeros(lm.model.config.hidden_size, dtype=work, device=lm.device, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=o.lr)
    init: Tensor | None = None
    clean: Tensor | None = None
    losses: list[float] = []

    def move(_: Any, __: Any, output: Any) -> Any:
        nonlocal init
        states = output[0] if isinstance(output, tuple) else output
        if init is None:
            init = states[0, made.positions[0]].detach().to(work)
        moved = states.clone()
        moved[lines, made.positions] += delta.to(states.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = lm.model.get_submodule(block).register_forward_hook(move)
    try:
        for step in range(o.steps):
            optimiser.zero_grad()
            logits = lm.model(made.input_ids, attention_mask=made.attention_mask, use_cache=False).logits
            after = logits[-1, made.positions[-1]].float().log_softmax(-1)
            clean = after.detach() if clean is None else clean
            everywhere = logits.float().log_softmax(2)[:-1]
            each = everywhere.gather(2, targets[:-1].clamp_min(0)[:, :, None])[:, :, 0]
            nll = -(each * said).sum(1) / len(ids)
            kl = torch.nn.functional.kl_div(clean, after, log_target=True, reduction="sum")
            assert init is not None
            decay = o.weight_decay * delta.norm() / init.norm() ** 2
            loss = nll.mean() + o.kl_weight * kl + decay
            losses.append(float(loss.detach()))
            if loss < o.loss_threshold or step == o.steps - 1:
                break
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                allowed = o.clamp * init.norm()
                if delta.norm() > allowed:
                    delta.mul_(allowed / delta.norm())
    finally:
        handle.remove()
    assert init is not None
    states = (init + delta.detach())[:, None]
    return Optimised(states, init[:, None], [losses], [float(nll.mean())], {"published loop": 1})


class Published(Neutral):
    """The neutral target, its states found by the published loop: what a whole run is compared with."""

    def _optimise(
        self, lm: zu.LanguageModel, module: str, plan: zu.ReadPlan, texts: Sequence[Sequence[int]], *_: Any
    ) -> Optimised:
        one = [
            published_loop(lm, module, plan.subset([number]), list(ids), self.options)
            for number, ids in enumerate(texts)
        ]
        states, init = (torch.cat([getattr(each, name) for each in one], 1) for name in ("states", "init"))
        trace, nll = ([getattr(each, name)[0] for each in one] for name in ("trace", "last_nll"))
        return Optimised(states, init, trace, nll, {"published loop": len(one)})


@zu.hookimpl
def zu_register_targets(register: Any) -> None:
    """The builder, for this module's own runs."""
    register(
        zu.TargetSpec(
            "published", target="tests.benchmarks.targets:Published",
            summary="neutral, by the published loop", options=NeutralOptions,
        )
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- measuring


@dataclass
class Cost:
    """Seconds on the clock and of the processor (all threads), and peak memory (bytes above what was held before)."""

    seconds: float = 0.0
    processor: float = 0.0
    memory: int = 0


@contextmanager
def cost(device: str) -> Iterator[Cost]:
    """What a block takes. On a CPU, resident memory is looked at every 5 ms."""
    found, done = Cost(), threading.Event()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = resident()
    peak = [before]

    def look() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=look, daemon=True)
    if not device.startswith("cuda"):
        watcher.start()
    start, begun = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
            peak[0] = torch.cuda.max_memory_allocated()
        found.seconds, found.processor = time.perf_counter() - start, time.process_time() - begun
        done.set()
        found.memory = peak[0] - before


def resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the peak so far, where nothing else is told


def matmul_rate(device: str, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP a second of a large matrix product: on the clock, and of the processor; the best of five."""
    size = 2_048 if device == "cpu" else 8_192
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    a @ b
    took = []
    for _ in range(5):
        with cost(device) as one:
            a @ b
        took.append(one)
    flops = 2 * size**3
    return flops / min(one.seconds for one in took), flops / max(1e-9, min(one.processor for one in took))


def flops_of(run: Callable[[int], Optimised], evaluations: int) -> int:
    """Of matrix products: those of one evaluation, and what each further one adds."""
    counts = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            run(steps)
        counts.append(counter.get_total_flops())
    return int(counts[0] + (evaluations - 1) * (counts[1] - counts[0]))


# ---------------------------------------------------------------------------------------------- the comparison


def compare(size: str, device: str, dtype: torch.dtype, facts: int, timed: int) -> None:
    lm = made_up_model(size, device, dtype)
    for parameter in lm.model.parameters():
        parameter.requires_grad_(False)
    layer = 2 * lm.num_layers // 3
    block = lm.site(layer).block
    plan = plan_of(lm, facts)
    ids = [lm.tokenizer.eos_token_id]
    options = NeutralOptions()

    def ours(steps: int, some: zu.ReadPlan = plan) -> Optimised:
        chosen = replace(options, steps=steps)
        return optimise(lm, block, some, [ids] * len(some.requests), chosen, 32, lambda *a: None, "")

    def reference(numbers: range) -> list[Tensor]:
        return [published_loop(lm, block, plan.subset([i]), ids, options).states[:, 0] for i in numbers]

    ours(2, plan.subset([0, 1]))
    published_loop(lm, block, plan.subset([0]), ids, replace(options, steps=2))
    half = max(1, timed // 2)
    rates = [matmul_rate(device, dtype)]
    with cost(device) as before:  # half of the reference before ours and half after: a machine's mood changes
        states = reference(range(half))
    with cost(device) as took:
        found = ours(options.steps)
    with cost(device) as after:
        states += reference(range(half, 2 * half))
    rates.append(matmul_rate(device, dtype))
    ones = torch.stack(states, 1)
    apart = float((found.states[:, : 2 * half] - ones).norm() / ones.norm())
    flops = flops_of(ours, max(found.evaluations))
    parameters = sum(p.numel() for p in lm.model.parameters())
    places = sum(len(prompts) + 1 for prompts in plan.prompts) / facts
    kind = f"{str(dtype).removeprefix('torch.')} on {device}"
    print(
        f"\n{size}: {parameters / 1e6:.0f} M parameters, {lm.num_layers} layers, module: output of layer {layer}, "
        f"vocabulary {lm.model.config.vocab_size}, {kind}; {facts} facts, {places:g} rows each, EOS as text, "
        f"{min(found.evaluations)} to {max(found.evaluations)} evaluations; run by {', '.join(found.how)}; "
        f"{flops / facts / 1e9:.1f} GFLOP a fact in matrix products; relative difference of the states: {apart:.1e}\n"
    )
    print("| what, a fact | seconds | processor seconds | peak memory, MB |\n| --- | --- | --- | --- |")
    each = [(before.seconds + after.seconds) / (2 * half), (before.processor + after.processor) / (2 * half)]
    mine = [took.seconds / facts, took.processor / facts]
    best = [max(rate[0] for rate in rates), max(rate[1] for rate in rates)]
    floor = [flops / facts / rate for rate in best]
    print(
        f"| one request at a time, whole model, whole vocabulary ({2 * half} facts timed) | {each[0]:.3f} | "
        f"{each[1]:.3f} | {max(before.memory, after.memory) / 1e6:.0f} |"
    )
    print(f"| ours | {mine[0]:.3f} | {mine[1]:.3f} | {took.memory / 1e6:.0f} |")
    print(f"| ratio | {each[0] / mine[0]:.1f} | {each[1] / max(mine[1], 1e-9):.1f} | |")
    print(f"| floor: our arithmetic at the rate of a matrix product | {floor[0]:.3f} | {floor[1]:.3f} | |")
    achieved = [flops / facts / max(one, 1e-9) / 1e9 for one in mine]
    print(f"| GFLOP a second, achieved | {achieved[0]:.0f} | {achieved[1]:.0f} | |")
    print(f"| GFLOP a second, matrix product | {best[0] / 1e9:.0f} | {best[1] / 1e9:.0f} | |")
    print(
        f"| fraction of it | {floor[0] / mine[0]:.0%} | {floor[1] / max(mine[1], 1e-9):.0%} | |", flush=True
    )


# ---------------------------------------------------------------------------------------------- a whole run


def whole_run(facts: int) -> None:
    """`zu.run` on a small model that knows real facts: everything cached but the requests, ours and plainer loops."""
    folder = Path(os.environ.get("ZU_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    if not (folder / "models" / "cf-mini").is_dir():
        print(f"\nwhole run: skipped, no reference model at {folder}: point ZU_SHARED at it")
        return
    ways = {
        "ours": [],
        "published loop: one request at a time, whole vocabulary at every token": [
            "target.name=published", 'target.text=" unknown"', "target.lr=0.5"
        ],
        "full forward, one request at a time, head at the text's places alone": [
            "target.replay=none", "target.rows_per_pass=1"
        ],
        "full forward, requests together": ["target.replay=none"],
    }  # fmt: skip
    found = [*importlib.metadata.entry_points(group="zu_framework")]
    plugins = load_plugins([*found, EntryPoint("targets", "tests.benchmarks.targets", "zu_framework")])
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ZU_CACHE"] = f"{scratch}/cache"
        config = {
            "model": {"path": str(folder / "models" / "cf-mini"), "dtype": "float32", "device": "cpu"},
            "data": {"name": "counterfact", "path": str(folder / "data" / "counterfact_known.json"), "forget": facts},
            "locator": {"name": "fixed", "layers": [1, 2, 3]},
            "collector": {"name": "subject-last"},
            "background": {"name": "text", "path": str(folder / "data" / "wikitext2_valid.txt"), "documents": 500},
            "target": {"name": "neutral", "text": " unknown", "lr": 0.5},
            "solver": {"name": "zerounlearn", "background_weight": 100},
            "output": {"folder": f"{scratch}/runs"},
        }  # fmt: skip
        zu.run(config, ["output.name=warm", "target.steps=1"])
        for way, changes in ways.items():
            # a cache of its own, so that no way finds the states that another has left there
            os.environ["ZU_CACHE"] = f"{scratch}/cache{len(rows)}"
            shutil.copytree(f"{scratch}/cache", os.environ["ZU_CACHE"])
            with cost("cpu") as took:
                result = zu.run(config, [f"output.name=run{len(rows)}", *changes], plugins=plugins)
            rows.append((way, took, result.seconds))
    print(f"\nA whole run: {facts} facts, cf-mini, three sites, moments cached\n")
    phases = sorted({phase for _, _, seconds in rows for phase in seconds})
    print(f"| way | seconds | ratio | processor seconds | ratio | {' | '.join(phases)} |")
    print(f"| --- | --- | --- | --- | --- |{' --- |' * len(phases)}")
    first = rows[0][1]
    for way, took, seconds in rows:
        each = " | ".join(f"{seconds.get(phase, 0):.2f}" for phase in phases)
        print(
            f"| {way} | {took.seconds:.1f} | {took.seconds / first.seconds:.1f} | {took.processor:.1f} | "
            f"{took.processor / first.processor:.1f} | {each} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", choices=[*SIZES, "run", "all"], default="all", help="run: the whole run alone"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64", "bfloat16"])
    parser.add_argument("--facts", type=int, default=50)
    parser.add_argument("--reference", type=int, default=4, help="facts that the reference is timed on")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    print(f"{now}, {platform.machine()}, {asked.threads} threads, load {load}, {versions}")
    sizes = ["small", "50m"] if asked.size == "all" else [asked.size]
    for size in sizes:
        if size != "run":
            compare(size, asked.device, getattr(torch, asked.dtype), asked.facts, asked.reference)
    if asked.size in ("all", "run"):
        whole_run(asked.facts)


if __name__ == "__main__":
    main()
