"""Benches: a grid of runs from one config, its tables, plots and page."""

from zu_framework.bench.execution import BenchResult, Ended, run_bench
from zu_framework.bench.grid import Bench, BenchConfig, Cell, load_bench, ready_made_benches
from zu_framework.bench.output import write_outputs
from zu_framework.bench.tables import tables

__all__ = [
    "Bench",
    "BenchConfig",
    "BenchResult",
    "Cell",
    "Ended",
    "load_bench",
    "ready_made_benches",
    "run_bench",
    "tables",
    "write_outputs",
]
