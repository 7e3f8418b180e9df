"""Random probes over the bigram's words, and a scorer's view of any model over them."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import strategies as st

from tests.evaluation.bigram import WORDS, tokenizer
from zu_framework import Probe

SENTENCE = st.lists(st.sampled_from(WORDS[1:]), min_size=1, max_size=12)


def language_model(model: Any, *, bos: bool = True, padding_side: str = "right") -> Any:
    words = tokenizer(bos)
    words.padding_side = padding_side
    return SimpleNamespace(
        model=model, tokenizer=words, device=torch.device("cpu"), chat=None, answer_space=None
    )


def many_probes(count: int) -> list[Probe]:
    draw = random.Random(0)

    def words(longest: int) -> str:
        return " ".join(draw.choices(WORDS[1:], k=draw.randint(1, longest)))

    return [Probe(words(20), words(4)) for _ in range(count)]
