"""Offers the gradient baselines."""
