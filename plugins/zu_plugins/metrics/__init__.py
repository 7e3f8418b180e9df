"""Metrics of forgetting, of what was kept, and of the language model as a whole."""
