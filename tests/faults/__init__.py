"""Trying to break the product's promise: `python -m tests.faults` prints what was tried and what held."""
