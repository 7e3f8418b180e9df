"""Time the target states against the published loop, in one process: ours, the reference, their ratio, the floor.

    python -m tests.benchmarks.targets                      small and 50m on the CPU, then a whole run
    python -m tests.benchmarks.targets --size 3b --device cuda --dtype bfloat16
    python -m tests.benchmarks.targets --size smollm2 --facts 20

Randomly initialised models of the Llama architecture, or SmolLM2-135M-Instruct with packaged facts. The reference
optimises one request at a time, runs the whole model and takes logits and log-probabilities of the whole vocabulary at
every token, under torch's own setting; ours runs as in a run, with products by the quicker library. The floor is what
our arithmetic (products counted by torch) takes at the rate of a large matrix product on this machine. Prints Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

import zu_framework as zu
from tests.benchmarks.commands import machine, parser, table, threads_of
from tests.benchmarks.made_up import REAL, SIZES, language_model, plan_of, world_plan
from tests.benchmarks.measuring import cost, product_rate
from tests.benchmarks.published_loop import published_loop
from tests.benchmarks.whole_run import whole_run
from zu_framework.models import quick_products
from zu_framework.states.batches import optimise
from zu_framework.states.descent import Optimised
from zu_plugins.targets.options import NeutralOptions

REAL_LAYER, REAL_TEXT = 6, " unknown"


def main() -> None:
    """Print a table for each size, then that of a whole run."""
    arguments = parser(__doc__)
    sizes = [*SIZES, REAL, "run", "all"]
    arguments.add_argument("--size", choices=sizes, default="all", help="run: the whole run alone")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--dtype", default="float32", choices=["float32", "float64", "bfloat16"])
    arguments.add_argument("--facts", type=int, default=50)
    arguments.add_argument("--reference", type=int, default=4, help="facts that the reference is timed on")
    threads_of(arguments)
    asked = arguments.parse_args()
    torch.set_num_threads(asked.threads)
    print(machine())
    for size in ["small", "50m"] if asked.size == "all" else [asked.size]:
        if size != "run":
            compare(size, asked.device, getattr(torch, asked.dtype), asked.facts, asked.reference)
    if asked.size in ("all", "run"):
        whole_run(asked.facts)


def compare(size: str, device: str, dtype: torch.dtype, facts: int, timed: int) -> None:
    """Time ours on all facts and the reference on some, half of them before ours and half after."""
    lm = language_model(size, device, dtype)
    real = size == REAL
    layer = REAL_LAYER if real else 2 * lm.num_layers // 3
    text = REAL_TEXT if real else lm.tokenizer.eos_token
    ids = lm.tokenizer(text, add_special_tokens=False).input_ids
    block, options = lm.site(layer).block, NeutralOptions(lr=0.5 if real else 0.1)
    plan = world_plan(lm, facts) if real else plan_of(lm, facts)

    def ours(steps: int, some: zu.ReadPlan = plan) -> Optimised:
        chosen = replace(options, steps=steps)
        return optimise(lm, block, some, [ids] * len(some.requests), chosen)

    def reference(numbers: range) -> list[torch.Tensor]:
        return [published_loop(lm, block, plan.subset([i]), ids, options).states[:, 0] for i in numbers]

    with quick_products():
        ours(2, plan.subset([0, 1]))
    published_loop(lm, block, plan.subset([0]), ids, replace(options, steps=2))
    half = max(1, timed // 2)
    plain = product_rate(dtype, device)
    with cost(device) as before:
        states = reference(range(half))
    with cost(device) as took, quick_products():
        found = ours(options.steps)
    with cost(device) as after:
        states += reference(range(half, 2 * half))
    with quick_products():
        quick = product_rate(dtype, device)
    ones = torch.stack(states, 1)
    apart = float((found.states[:, : 2 * half] - ones).norm() / ones.norm())
    flops = flops_of(ours, max(found.evaluations))
    places = sum(len(prompts) + 1 for prompts in plan.prompts) / facts
    print(
        f"\n{size}: {sum(p.numel() for p in lm.model.parameters()) / 1e6:.0f} M parameters, {lm.num_layers} layers, "
        f"module: output of layer {layer}, vocabulary {lm.model.config.vocab_size}, "
        f"{str(dtype).removeprefix('torch.')} on {device}; {facts} facts, {places:g} rows each, {text!r} as text, "
        f"{min(found.evaluations)} to {max(found.evaluations)} evaluations; run by {', '.join(found.how)}; "
        f"{flops / facts / 1e9:.1f} GFLOP a fact in matrix products; relative difference of the states: {apart:.1e}\n"
    )
    # clock and processor, a fact
    theirs = [
        (before.seconds + after.seconds) / (2 * half),
        (before.processor + after.processor) / (2 * half),
    ]
    mine = [took.seconds / facts, max(took.processor, 1e-9) / facts]
    floor = [flops / facts / rate for rate in quick]
    each = f"one request at a time, whole model, whole vocabulary ({2 * half} facts timed)"
    rows = [
        (each, *(f"{t:.3f}" for t in theirs), f"{max(before.extra_mib, after.extra_mib):.0f}"),
        ("ours", *(f"{m:.3f}" for m in mine), f"{took.extra_mib:.0f}"),
        ("ratio", *(f"{t / m:.1f}" for t, m in zip(theirs, mine, strict=True)), ""),
        ("floor: our arithmetic at the rate of a matrix product", *(f"{f:.3f}" for f in floor), ""),
        ("GFLOP a second, achieved", *(f"{flops / facts / m / 1e9:.0f}" for m in mine), ""),
        ("GFLOP a second, matrix product as in a run", *(f"{rate / 1e9:.0f}" for rate in quick), ""),
        ("the same, torch's own setting", *(f"{rate / 1e9:.0f}" for rate in plain), ""),
        ("fraction of the former", *(f"{f / m:.0%}" for f, m in zip(floor, mine, strict=True)), ""),
    ]
    print(table(("what, a fact", "seconds", "processor seconds", "peak memory, MiB"), rows), flush=True)


def flops_of(run: Callable[[int], Optimised], evaluations: int) -> int:
    """Of matrix products: those of one evaluation, and what each further one adds."""
    counts = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            run(steps)
        counts.append(counter.get_total_flops())
    return int(counts[0] + (evaluations - 1) * (counts[1] - counts[0]))


if __name__ == "__main__":
    main()
