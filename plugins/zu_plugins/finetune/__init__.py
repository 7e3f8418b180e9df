"""Gradient baselines of the unlearning literature: one training loop, a loss each."""
