"""Measured comparisons, run by hand: `python -m tests.benchmarks`. Results: docs/results/."""
