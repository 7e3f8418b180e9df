"""The embedded demo world: its facts, and its general text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from zu_datasets.counterfact import request_of, split
from zu_datasets.records import Record
from zu_framework import DataSplit, demo


def load(options: Any, seed: int) -> DataSplit:
    """The facts of the demo world under the protocol `zerounlearn`, with its held-out text for perplexity."""
    records = [
        Record(fields, f"demo world, record {number}") for number, fields in enumerate(demo.records(), 1)
    ]
    requests = [request_of(record) for record in records]
    drawn = split(requests, "zerounlearn", options.forget, options.retain, seed, "the demo world")
    return replace(drawn, heldout_texts=tuple(demo.heldout_texts()))


def documents(options: Any) -> Iterator[str]:
    """General text of the demo world, one document an item; `max_tokens` is for whoever tokenizes it."""
    return islice(iter(demo.background_texts()), options.documents)
