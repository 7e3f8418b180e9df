"""MEMIT and AlphaEdit on one large site against their dense (i, i) form: time and peak memory, in one process.

    python -m tests.benchmarks.editors                        3072 x 8192, 50 requests, float32 weights
    python -m tests.benchmarks.editors --outputs 512 --inputs 1024 --requests 10

Random data. Each side starts from the same tensors (W, K, T, the key moment; for AlphaEdit the null space) and ends
with a written W' in float32; systems are solved in float64 on both sides. Seconds are of processor time, which a busy
machine stretches less than the clock's; with one thread both agree on a quiet one. Peak memory is what is held
at most beyond what was held at the start of a contestant (the kernel's high-water mark, reset before each).
Prints Markdown.
"""

from __future__ import annotations

import argparse
import gc
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zu_framework as zu
from zu_framework.linalg import NullSpace

MEMIT_WEIGHT, L2 = 15000.0, 10.0
FLOOR, WEAK = (
    0.05,
    0.001,
)  # singular values outside and inside the null space, the published threshold of 0.02 between


@dataclass
class Site:
    """weight (o, i), keys (i, n), targets (o, n) in float32; key_moment (i, i) and its null space (i, p) in float64."""

    weight: Tensor
    keys: Tensor
    targets: Tensor
    key_moment: Tensor
    null: Tensor

    def problem(self) -> zu.EditProblem:
        background = zu.Background(self.key_moment)
        return zu.EditProblem(self.weight, self.keys, self.weight @ self.keys, self.targets, None, background)


def site(outputs: int, inputs: int, requests: int, null: int, rank: int = 512) -> Site:
    """A moment with a known null space, without an (i, i) product: diagonal and low rank, mirrored by a vector."""
    made = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made, dtype=torch.float64)

    strength = FLOOR + torch.rand(inputs, generator=made, dtype=torch.float64)
    strength[-null:] = WEAK
    wide = normal(inputs, min(rank, inputs)) / rank**0.5
    wide[-null:] = 0
    moment = wide @ wide.T
    moment.diagonal().add_(strength)
    mirror = normal(inputs)
    mirror /= mirror.norm()  # H = I - 2 h h^T
    moment -= 2 * torch.outer(mirror, mirror @ moment)
    moment -= 2 * torch.outer(moment @ mirror, mirror)
    basis = -2 * torch.outer(mirror, mirror[-null:])
    basis[-null:].diagonal().add_(1.0)
    return Site(
        (normal(outputs, inputs) / inputs**0.5).float(), normal(inputs, requests).float(),
        normal(outputs, requests).float(), (moment + moment.T) / 2, basis,
    )  # fmt: skip


def dense_memit(at: Site) -> Tensor:
    """W' = W + R K^T (w C + K K^T)^-1, one (i, i) solve."""
    W, K = at.weight.double(), at.keys.double()
    moment = MEMIT_WEIGHT * at.key_moment + K @ K.T
    return W + (at.targets.double() - W @ K) @ torch.linalg.solve(moment, K).T


def dense_alphaedit(at: Site) -> Tensor:
    """W' = W + R K^T P (K K^T P + l2 I)^-1, P (i, i) formed, one (i, i) solve."""
    W, K = at.weight.double(), at.keys.double()
    projector = at.null @ at.null.T
    system = projector @ (K @ K.T)
    system.diagonal().add_(L2)
    return W + (at.targets.double() - W @ K) @ torch.linalg.solve(system, projector @ K).T


def held(field: str) -> int:
    """Bytes that the kernel counts for this process: `VmRSS` now, `VmHWM` at most since it was reset."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def measured(run: Callable[[], Tensor], into: Tensor) -> tuple[float, float]:
    """Processor seconds, and gigabytes held at most beyond what was held before; `into` (o, i) takes the answer."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before, start = held("VmRSS"), time.process_time()
    into.copy_(run())
    return time.process_time() - start, (held("VmHWM") - before) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outputs", type=int, default=3072)
    parser.add_argument("--inputs", type=int, default=8192)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--null", type=int, default=256, help="size of the null space")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    warm = site(64, 128, 4, 16)  # imports and thread pools are warm from here on
    at = site(asked.outputs, asked.inputs, asked.requests, asked.null)

    def memit(of: Site, factor: Any = None) -> Tensor:
        update = zu.solve(
            "memit", of.problem(), factor=factor, background_weight=MEMIT_WEIGHT, precision="float64"
        )
        return update.apply(of.weight)

    def alphaedit(of: Site) -> Tensor:
        space = NullSpace(of.null, 0.0)
        update = zu.solve("alphaedit", of.problem(), factor=space, l2=L2, precision="float64")
        return update.apply(of.weight)

    memit(warm)
    dense_memit(warm)
    rows, ours, theirs = [], torch.zeros_like(at.weight), torch.zeros_like(at.weight)
    factor = zu.prepare("memit", zu.Background(at.key_moment), at.weight, precision="float64")
    contests: list[tuple[str, Callable[[], Tensor], list[tuple[str, Callable[[], Tensor]]]]] = [
        (
            "MEMIT",
            lambda: dense_memit(at),
            [
                ("`memit`, factor computed", lambda: memit(at)),
                ("`memit`, factor given", lambda: memit(at, factor)),
            ],
        ),
        (
            "AlphaEdit",
            lambda: dense_alphaedit(at),
            [("`alphaedit`, null space given", lambda: alphaedit(at))],
        ),
    ]
    for name, dense, contestants in contests:
        seconds, memory = measured(dense, theirs)
        rows.append(f"| dense {name} | {seconds:.2f} | 1 | {memory:.2f} | |")
        for label, run in contestants:
            took, extra = measured(run, ours)
            change = theirs.double() - at.weight.double()
            error = float((ours.double() - theirs.double()).norm() / change.norm())
            rows.append(f"| {label} | {took:.3f} | {seconds / took:.0f} | {extra:.2f} | {error:.1e} |")
    print(
        f"{asked.outputs} x {asked.inputs}, n = {asked.requests}, null space {asked.null}, float32 weights; "
        f"{platform.machine()}, {asked.threads} threads, torch {torch.__version__}\n"
    )
    print("| what | processor seconds | dense over it | extra memory, GB | difference of the changes |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
