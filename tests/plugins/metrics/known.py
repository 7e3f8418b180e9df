"""A scorer whose model is a table: what it says of each answer and text is written down by the test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from zu_framework import Measurement, Probe, Score
from zu_framework.registry.manager import load_plugins

Tokens = Sequence[float]  # probability of each token; a negative one: that likely, and not the argmax


def metric(name: str, **options: Any) -> Any:
    """A metric by the door that a run uses, its options bound."""
    registered = load_plugins().registry.get("metric", name)
    if not registered.spec.options.__dataclass_fields__:
        return registered.load()
    return partial(registered.load(), options=registered.spec.options(**options))


def score(tokens: Tokens, expected: float = -1.0, deviation: float = 1.0) -> Score:
    found = [math.log(abs(p)) for p in tokens]
    return Score(
        exact=all(p > 0 for p in tokens),
        log_probability=math.fsum(found),
        tokens=len(tokens),
        hits=tuple(p > 0 for p in tokens),
        token_log_probabilities=tuple(found),
        expected=(expected,) * len(tokens),
        deviations=(deviation,) * len(tokens),
        ranks=tuple(1 if p > 0 else round(1 / -p) for p in tokens),
    )


@dataclass
class Known:
    """answers: of (prompt, answer); texts; said: after a prompt. What is not listed has one token of 1/1000.

    apart: divergences from the untouched model, by text.
    """

    answers: Mapping[tuple[str, str], Tokens] = field(default_factory=dict)
    texts: Mapping[str, Score] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)
    reference: Known | None = None
    untouched: Known | None = None
    apart: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def score(self, probes: Sequence[Probe]) -> list[Score]:
        return [score(self.answers.get((probe.prompt, probe.answer), (-0.001,))) for probe in probes]

    def score_texts(self, texts: Sequence[str]) -> list[Score]:
        return [self.texts[text] for text in texts]

    def predict(self, texts: Sequence[str]) -> None:
        self.predicted = tuple(texts)

    def divergence(self, texts: Sequence[str]) -> list[list[float]] | None:
        asked = self.untouched is not None and getattr(self.untouched, "predicted", None) == tuple(texts)
        return [list(self.apart[text]) for text in texts] if asked else None

    def completions(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        return [self.said[prompt] for prompt in prompts]


def value(found: Measurement | None) -> float:
    assert found is not None
    return found.value
