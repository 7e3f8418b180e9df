"""The embedded demo world: its facts, and its general text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from zu_framework import DataSplit, Request, demo
from zu_framework.data import Record, by_protocol
from zu_plugins.datasets.counterfact import request_of


def load(options: Any, seed: int) -> DataSplit:
    """The facts of the demo world under the protocol `zerounlearn`, with its held-out text for perplexity.

    others: facts that are neither forgotten nor retained, by what they are about. texts: what training said of the
    facts to forget and to retain, and what it never said.
    """
    records = [
        Record(fields, f"demo world, record {number}") for number, fields in enumerate(demo.records(), 1)
    ]
    requests = [request_of(record) for record in records]
    drawn = by_protocol(requests, "zerounlearn", options.forget, options.retain, seed, "the demo world")
    used = {request.id for request in (*drawn.forget, *requests[: len(requests) // 2])}
    others: dict[str, list[Request]] = {}
    for request in requests:
        if request.id not in used:
            others.setdefault(demo.kind_of(int(request.id)), []).append(request)
    texts = {
        "forget": tuple(demo.statements(int(request.id) for request in drawn.forget)),
        "retain": tuple(demo.statements((int(request.id) for request in drawn.retain), phrasings=1)),
        "holdout": tuple(demo.unseen_statements()),
    }
    return replace(
        drawn,
        heldout_texts=tuple(demo.heldout_texts()),
        others={name: tuple(found) for name, found in others.items()},
        texts=texts,
    )


def documents(options: Any) -> Iterator[str]:
    """General text of the demo world, one document an item."""
    return islice(iter(demo.background_texts()), options.documents)
