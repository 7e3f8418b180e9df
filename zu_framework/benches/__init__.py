"""Benches: a grid of runs from one config, its tables, plots and page."""

from zu_framework.benches.execution import BenchResult, Ended, run_bench
from zu_framework.benches.grid import Bench, BenchConfig, Cell, load_bench, ready_made_benches
from zu_framework.benches.output import bench, write_outputs
from zu_framework.benches.tables import tables

__all__ = [
    "Bench",
    "BenchConfig",
    "BenchResult",
    "Cell",
    "Ended",
    "bench",
    "load_bench",
    "ready_made_benches",
    "run_bench",
    "tables",
    "write_outputs",
]
