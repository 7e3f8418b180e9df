"""What a call takes: seconds on the clock and of the processor, and memory beyond what was held before."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

MIB = 2**20
LOOK_EVERY = 0.005  # seconds between two looks at the resident memory


@dataclass
class Cost:
    """Seconds on the clock, seconds of the processor (all threads), and MiB at most beyond those held at the start."""

    seconds: float = 0.0
    processor: float = 0.0
    extra_mib: float = 0.0


@contextmanager
def cost(device: str = "cpu") -> Iterator[Cost]:
    """What a block takes, known once it has ended. Memory is sampled on a CPU, counted by torch on a GPU."""
    found, done = Cost(), threading.Event()
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if on_gpu else resident()
    top = [before]

    def look() -> None:
        while not done.wait(LOOK_EVERY):
            top[0] = max(top[0], resident())

    watcher = threading.Thread(target=look, daemon=True)
    if not on_gpu:
        watcher.start()
    start, begun = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        if on_gpu:
            torch.cuda.synchronize()
            top[0] = torch.cuda.max_memory_allocated()
        found.seconds, found.processor = time.perf_counter() - start, time.process_time() - begun
        done.set()
        if not on_gpu:
            watcher.join()
        found.extra_mib = (top[0] - before) / MIB


def measured(run: Callable[[], Any], repeats: int = 1, device: str = "cpu") -> Cost:
    """The least seconds of the repeats, which the machine disturbed least, and the most memory."""
    return in_turn({"": run}, repeats, device)[""]


def in_turn(runs: dict[str, Callable[[], Any]], repeats: int, device: str = "cpu") -> dict[str, Cost]:
    """Several calls, one after the other, `repeats` times over: what slows the machine down meets all of them."""
    found: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            with cost(device) as one:
                run()
            found[name].append(one)
    return {name: _best(each) for name, each in found.items()}


def product_rate(dtype: torch.dtype, device: str = "cpu") -> tuple[float, float]:
    """FLOP a second of a large matrix product: on the clock, and of the processor; the best of three."""
    size = 2048 if device == "cpu" else 8192
    matrix = torch.randn(size, size, device=device).to(dtype)
    matrix @ matrix
    took = measured(lambda: matrix @ matrix, 3, device)
    return 2 * size**3 / took.seconds, 2 * size**3 / max(took.processor, 1e-9)


def resident() -> int:
    """Bytes of this process in memory now; the peak so far where the system does not tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _best(each: list[Cost]) -> Cost:
    return Cost(
        min(one.seconds for one in each),
        min(one.processor for one in each),
        max(one.extra_mib for one in each),
    )
