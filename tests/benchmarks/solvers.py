"""Time ZeroUnlearn's solvers on one large site against the dense float64 formula, in one run on one machine.

    python -m tests.benchmarks.solvers                        3072 x 8192, 50 requests, float32 weights
    python -m tests.benchmarks.solvers --outputs 512 --inputs 1024 --requests 10 --many 50,200,1000

Random data. Every contestant starts from the same given tensors (V and the value moment included) and ends with a
written W' in float32. Prints Markdown tables: one edit, and many facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import zu_framework as zu
from tests.benchmarks.commands import machine, parser, table, threads_of
from tests.benchmarks.measuring import Cost, measured
from tests.benchmarks.random_sites import RandomSite, dense_closed_form, full_matrix_adam, random_site
from zu_framework.linalg import NullSpace

PUBLISHED = {"background_weight": 15000.0, "forget_weight": 50.0, "ridge": 1.0}
SLACK = 0.01
TARGET_WEIGHT, NORM_WEIGHT, ADAM_STEPS = 100.0, 0.1, 500
SMALL_SITES = ((96, 160, 8, 24), (48, 200, 20, 60))  # where Adam's 500 steps take seconds
SENSITIVE_RANK = 64  # of many facts: more directions would leave nothing of a site


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--outputs", type=int, default=3072)
    arguments.add_argument("--inputs", type=int, default=8192)
    arguments.add_argument("--requests", type=int, default=50)
    arguments.add_argument("--null", type=int, default=256, help="size of the null space")
    arguments.add_argument("--many", default="100,300,1000,3000,10000", help="numbers of facts, or nothing")
    threads_of(arguments)
    asked = arguments.parse_args()
    torch.set_num_threads(asked.threads)
    at = random_site(asked.outputs, asked.inputs, asked.requests, asked.null)
    # each side writes W' here, as a run writes into the model's own weight
    written = torch.empty_like(at.weight)
    print(f"{asked.outputs} x {asked.inputs}, n = {asked.requests}, null space {asked.null}; {machine()}\n")
    one_edit(at, written)
    counts = [int(count) for count in asked.many.split(",") if count]
    if counts:
        many_facts(at, counts, written)


def one_edit(at: RandomSite, written: Tensor) -> None:
    """Time an edit of the site's requests, and print how far the two weights and the two losses are apart."""

    def closed_form(factor: Any = None, precision: str = "float64") -> str:
        update = zu.solve(
            "zerounlearn", at.problem(), factor=factor, slack=SLACK, precision=precision, **PUBLISHED
        )
        update.apply(at.weight, out=written)
        return str(update.report["precision"])

    factor = zu.prepare("zerounlearn", at.background, at.weight, **PUBLISHED)
    closed_form(factor)  # imports and thread pools are warm from here on
    ours = written.clone()
    dense = measured(lambda: written.copy_(dense_closed_form(at, slack=SLACK, **PUBLISHED)))
    apart = float((ours.double() - written.double()).norm() / written.double().norm())
    computed, given = measured(closed_form, 3), measured(lambda: closed_form(factor), 7)
    refined = measured(lambda: closed_form(precision="auto"), 3)
    chosen = closed_form(precision="auto")

    def exact() -> None:
        space = NullSpace(at.null, 0.0)
        zu.solve("zerounlearn-gd", at.problem(), factor=space).apply(at.weight, out=written)

    gradient = measured(exact, 5)
    step, _ = full_matrix_adam(at, TARGET_WEIGHT, NORM_WEIGHT, lr=1e-3)
    adam = measured(step, 2)

    all_steps = adam.seconds * ADAM_STEPS
    formula, steps = "dense closed form", f"one Adam step times {ADAM_STEPS} (extrapolated)"
    rows = [
        ("dense float64 closed form", dense, "", 1.0),
        ("`zerounlearn`, factor computed", computed, formula, dense.seconds / computed.seconds),
        (f"the same, `precision: auto` (chose {chosen})", refined, formula, dense.seconds / refined.seconds),
        ("`zerounlearn`, factor given", given, formula, dense.seconds / given.seconds),
        ("one Adam step of the published gradient variant", adam, "", None),
        ("`zerounlearn-gd`, exact, null space given", gradient, steps, all_steps / gradient.seconds),
    ]
    head = ("what", "seconds", "peak extra memory", "against", "ratio")
    shown = [
        (name, f"{took.seconds:.3f}", f"{took.extra_mib:.0f} MiB", against, f"{ratio:.0f}" if ratio else "")
        for name, took, against, ratio in rows
    ]
    print(table(head, shown))
    print(f"\nrelative difference of the two W' (closed form): {apart:.1e}")
    for exact_loss, adam_loss in least_losses():
        print(
            f"loss of the exact variant {exact_loss:.6g}, of {ADAM_STEPS} Adam steps {adam_loss:.6g} (small site)"
        )


def least_losses() -> Iterator[tuple[float, float]]:
    """Where the exact gradient variant and Adam at its published step size end, on small sites."""
    for size in SMALL_SITES:
        small = random_site(*size)
        step, loss = full_matrix_adam(small, TARGET_WEIGHT, NORM_WEIGHT, lr=1e-2)
        for _ in range(ADAM_STEPS):
            step()
        columns = (small.weight, small.keys, small.values, small.targets, small.sensitive)
        problem = zu.EditProblem(*(t.double() for t in columns), small.background)
        report = zu.solve("zerounlearn-gd", problem, factor=NullSpace(small.null, 0.0)).report
        yield report["loss_total"], loss()


def many_facts(at: RandomSite, counts: list[int], written: Tensor) -> None:
    """Time edits of many facts with the factor given, V and W' included; the exponent is of time in n."""
    rows = []
    last: tuple[int, Cost] | None = None
    for count, took in timed_edits(at, counts, written):
        exponent = ""
        if last is not None:
            exponent = f"{math.log(took.seconds / last[1].seconds) / math.log(count / last[0]):.2f}"
        each = f"{1000 * took.seconds / count:.2f}"
        rows.append((str(count), f"{took.seconds:.2f}", each, exponent, f"{took.extra_mib:.0f} MiB"))
        last = count, took
    head = ("facts", "seconds", "seconds per 1000 facts", "exponent from the row above", "peak extra memory")
    print(f"\n{table(head, rows)}")


def timed_edits(at: RandomSite, counts: list[int], written: Tensor) -> Iterator[tuple[int, Cost]]:
    """An edit of each number of facts; keys, targets and S are given."""
    made = torch.Generator().manual_seed(1)
    outputs, inputs = at.weight.shape
    factor = zu.prepare("zerounlearn-local", at.background, at.weight, **PUBLISHED)
    few = torch.randn(outputs, SENSITIVE_RANK, generator=made)
    for number, count in enumerate([1, *counts]):
        keys = torch.randn(inputs, count, generator=made)
        targets = torch.randn(outputs, count, generator=made)
        sensitive = few @ torch.randn(SENSITIVE_RANK, count, generator=made)

        def edit(keys: Tensor = keys, targets: Tensor = targets, sensitive: Tensor = sensitive) -> None:
            problem = zu.EditProblem(at.weight, keys, at.weight @ keys, targets, sensitive, at.background)
            zu.solve("zerounlearn-local", problem, factor=factor, **PUBLISHED).apply(at.weight, out=written)

        took = measured(edit)
        if number:  # the first warmed up
            yield count, took


if __name__ == "__main__":
    main()
