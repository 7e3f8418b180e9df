"""What the benchmarks share: seconds, peak memory, the machine, and a table's rows."""

from __future__ import annotations

import os
import platform
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """seconds: the least of the repeats, the one that the machine disturbed least. extra_mib: peak beyond the start."""

    seconds: float
    extra_mib: float


def measured(run: Callable[[], Any], repeats: int = 1) -> Measured:
    """Time a call, and its peak memory beyond what was held before: sampled on a CPU, counted by torch on a GPU."""
    took, extra = [], []
    for _ in range(repeats):
        with _Peak() as peak:
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            took.append(time.perf_counter() - start)
        extra.append(peak.extra)
    return Measured(min(took), max(extra) / MIB)


def in_turn(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Measured]:
    """Several calls, one after the other, `repeats` times over: what slows the machine down meets all of them."""
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            found[name].append(measured(run))
    return {
        name: Measured(min(m.seconds for m in each), max(m.extra_mib for m in each))
        for name, each in found.items()
    }


def machine(threads: int) -> str:
    """One line: processor, threads, versions, date."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return (
        f"{device}, {threads} threads, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def product_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    """The machine's matrix-product rate in FLOP/s, the best of three products (size, size)."""
    matrix = torch.randn(size, size, dtype=dtype, device=device)
    matrix @ matrix
    return 2 * size**3 / measured(lambda: matrix @ matrix, 3).seconds


class _Peak:
    """Samples resident memory every 5 ms; `extra`: bytes at the highest sample beyond the first."""

    def __enter__(self) -> _Peak:
        self._done = threading.Event()
        self._start = self._top = _resident()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._start = self._top = torch.cuda.memory_allocated()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if torch.cuda.is_available():
            self._top = torch.cuda.max_memory_allocated()

    def _sample(self) -> None:
        while not self._done.wait(0.005):
            if not torch.cuda.is_available():
                self._top = max(self._top, _resident())

    @property
    def extra(self) -> int:
        return max(self._top - self._start, 0)


def _resident() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
