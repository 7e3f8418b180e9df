"""The frontier of forgetting against damage: `python -m tests.benchmarks.frontier`."""
