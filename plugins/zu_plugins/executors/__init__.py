"""Executors: where the cells of a bench run."""
