"""Attacks on an edited model: what quantising, training, sampling and asking otherwise still get out."""
