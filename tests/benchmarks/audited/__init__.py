"""The audit of every method on one set of facts, on a real model and on the embedded one with its twin."""
