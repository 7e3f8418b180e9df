"""Time MEMIT and AlphaEdit on one large site against their dense (i, i) form: time and peak memory, in one process.

    python -m tests.benchmarks.editors                        3072 x 8192, 50 requests, float32 weights
    python -m tests.benchmarks.editors --outputs 512 --inputs 1024 --requests 10

Random data. Each side starts from the same tensors (W, K, T, the key moment; for AlphaEdit the null space) and ends
with a written W' in float32; systems are solved in float64 on both sides. Seconds are of processor time, which a busy
machine stretches less than the clock's; with one thread both agree on a quiet one. Prints a Markdown table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

import zu_framework as zu
from tests.benchmarks.commands import machine, parser, table, threads_of
from tests.benchmarks.measuring import measured
from tests.benchmarks.random_sites import RandomSite, dense_alphaedit, dense_memit, random_site
from zu_framework.linalg import NullSpace

MEMIT_WEIGHT, L2 = 15000.0, 10.0
WEAK = 0.001  # singular values in the null space: MEMIT's system must not be singular


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--outputs", type=int, default=3072)
    arguments.add_argument("--inputs", type=int, default=8192)
    arguments.add_argument("--requests", type=int, default=50)
    arguments.add_argument("--null", type=int, default=256, help="size of the null space")
    threads_of(arguments, 1)
    asked = arguments.parse_args()
    torch.set_num_threads(asked.threads)
    warm = random_site(64, 128, 4, 16, WEAK)  # imports and thread pools are warm from here on
    memit(warm)
    dense_memit(warm, MEMIT_WEIGHT)
    at = random_site(asked.outputs, asked.inputs, asked.requests, asked.null, WEAK)
    factor = zu.prepare("memit", at.background, at.weight, precision="float64")
    rows = [
        *contest(
            at,
            "MEMIT",
            lambda: dense_memit(at, MEMIT_WEIGHT),
            {
                "`memit`, factor computed": lambda: memit(at),
                "`memit`, factor given": lambda: memit(at, factor),
            },
        ),
        *contest(
            at,
            "AlphaEdit",
            lambda: dense_alphaedit(at, L2),
            {"`alphaedit`, null space given": lambda: alphaedit(at)},
        ),
    ]
    print(f"{asked.outputs} x {asked.inputs}, n = {asked.requests}, null space {asked.null}; {machine()}\n")
    head = ("what", "processor seconds", "dense over it", "extra memory, MiB", "difference of the changes")
    print(table(head, rows))


def memit(at: RandomSite, factor: Any = None) -> Tensor:
    """The written weight."""
    update = zu.solve(
        "memit", at.problem(), factor=factor, background_weight=MEMIT_WEIGHT, precision="float64"
    )
    return update.apply(at.weight)


def alphaedit(at: RandomSite) -> Tensor:
    """The written weight, the null space given."""
    update = zu.solve("alphaedit", at.problem(), factor=NullSpace(at.null, 0.0), l2=L2, precision="float64")
    return update.apply(at.weight)


def contest(
    at: RandomSite, name: str, dense: Callable[[], Tensor], ours: Mapping[str, Callable[[], Tensor]]
) -> list[tuple[str, ...]]:
    """Rows of the dense form and of ours."""
    theirs, mine = torch.zeros_like(at.weight), torch.zeros_like(at.weight)
    base = measured(lambda: theirs.copy_(dense()))
    rows = [(f"dense {name}", f"{base.processor:.2f}", "1", f"{base.extra_mib:.0f}", "")]
    change = (theirs.double() - at.weight.double()).norm()
    for label, run in ours.items():
        took = measured(lambda run=run: mine.copy_(run()))  # type: ignore[misc]
        apart = float((mine.double() - theirs.double()).norm() / change)
        ratio = base.processor / took.processor
        rows.append((label, f"{took.processor:.3f}", f"{ratio:.0f}", f"{took.extra_mib:.0f}", f"{apart:.1e}"))
    return rows


if __name__ == "__main__":
    main()
