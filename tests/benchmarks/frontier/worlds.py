"""What is forgotten where: a model that knows facts, which facts serve choosing and which measuring, general text.

Settings are chosen on the first half of the facts alone (stage `choose`) and reported on the second (stage `report`):
no probe of a reported fact, and no paraphrase or neighbour of one, is seen before. Facts to retain are dealt in turn
into those that a method may retain or train on, and those that are measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zu_framework as zu
from zu_framework import demo
from zu_framework.data import Record
from zu_framework.evaluation import read_texts
from zu_plugins.datasets.counterfact import request_of

HELD_OUT_EVERY = 10  # as in `zu run`: every tenth document serves perplexity and takes no part in the moments
HELD_OUT = 12  # documents that perplexity is measured on


@dataclass(frozen=True)
class Drawn:
    """One draw: the data that are measured, and the facts that a method may retain or train on."""

    data: zu.DataSplit
    retain: tuple[zu.Request, ...]


@dataclass(frozen=True)
class World:
    """A model, its facts in two halves, held-out text, and the parts of a config that do not depend on the method."""

    name: str
    lm: zu.LanguageModel
    halves: tuple[tuple[zu.Request, ...], tuple[zu.Request, ...]]
    heldout: tuple[str, ...]
    config: Mapping[str, Any]

    def drawn(self, stage: str, facts: int, seed: int) -> Drawn:
        """Forget facts of the stage's half; what is retained comes from the first half, less what is forgotten."""
        first, second = self.halves
        draw = random.Random(seed)
        if stage == "report":
            forget, rest = draw.sample(second, facts), first
        else:
            chosen = set(draw.sample(range(len(first)), facts))
            forget = [first[i] for i in sorted(chosen)]
            rest = tuple(r for i, r in enumerate(first) if i not in chosen)
        return Drawn(zu.DataSplit(tuple(forget), rest[1::2], self.heldout), rest[0::2])


def demo_world() -> World:
    """The embedded model: invented facts."""
    records = [Record(fields, f"record {number}") for number, fields in enumerate(demo.records(), 1)]
    return World(
        "demo",
        zu.LanguageModel.from_pretrained(str(demo.model_path()), dtype="float32"),
        _halves([request_of(record) for record in records]),
        tuple(demo.heldout_texts())[:HELD_OUT],
        {
            "background": {"name": "demo"},
            "target": {"name": "neutral-once", "text": " unknown", "rows_per_pass": 512},
        },
    )


def checkpoint_world(name: str, model: Path, facts: Path, text: Path, scratch: Path) -> World:
    """A checkpoint that answers the CounterFact records of a file; general text, one document a line."""
    documents = list(read_texts(text))
    heldout = documents[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    background = scratch / f"{name}-background.txt"
    background.write_text(
        "".join(d + "\n" for i, d in enumerate(documents) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1),
        encoding="utf-8",
    )
    records = [Record(r, f"{facts}, record {i}") for i, r in enumerate(json.loads(facts.read_text()), 1)]
    return World(
        name,
        zu.LanguageModel.from_pretrained(str(model), dtype="float32"),
        _halves([request_of(record) for record in records]),
        tuple(heldout[:HELD_OUT]),
        {
            "background": {"name": "text", "path": str(background)},
            "target": {"name": "neutral-once", "text": " unknown", "rows_per_pass": 512},
        },
    )


def _halves(requests: Sequence[zu.Request]) -> tuple[tuple[zu.Request, ...], tuple[zu.Request, ...]]:
    half = len(requests) // 2
    return tuple(requests[:half]), tuple(requests[half:])
