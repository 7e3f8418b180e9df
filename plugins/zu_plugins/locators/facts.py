"""The facts that are traced: requests with a subject whose answer the model knows, as tokens, and the noise on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from zu_framework import ConfigError, DataError, LanguageModel, Request
from zu_framework.models import (
    Row,
    answer_ids,
    check_length,
    check_tokens,
    continuations,
    embeddings_of,
    encode,
    puts_space,
    replaced,
)

CLASSES = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first subsequent token",
    "further tokens",
    "last token",
)
SUBJECT_LAST = CLASSES.index("last subject token")


@dataclass(frozen=True)
class Fact:
    """A request as tokens. subject: its first token and one past its last; clean: probability of the whole answer."""

    request: Request
    row: Row
    subject: tuple[int, int]
    clean: float
    number: int

    @property
    def positions(self) -> range:
        """Tokens of the prompt from the subject on: no state before them can carry the corruption."""
        return range(self.subject[0], len(self.row.ids))

    def class_of(self, position: int) -> int:
        """Return the index of a token's class in `CLASSES`.

        Each token is in one class: a subject of one token is its last, and wins over the prompt's end.
        """
        start, stop = self.subject
        last = len(self.row.ids) - 1
        if position < stop:
            return SUBJECT_LAST if position == stop - 1 else 0 if position == start else 1
        return 5 if position == last else 3 if position == stop else 4


def known_facts(
    lm: LanguageModel, requests: Sequence[Request], most: int, batch_size: int
) -> tuple[list[Fact], list[str]]:
    """The first `most` (0: all) requests that can be traced, and notes on those that cannot.

    A request can be traced where it has a subject and every token of its answer is the model's most likely one.
    Raises `DataError` where none can.
    """
    asked = list(requests[:most] if most else requests)
    with_subject = [(number, r) for number, r in enumerate(asked) if r.subject is not None]
    if not with_subject:
        raise DataError(
            f"none of {len(asked)} requests has a subject, whose tokens would be corrupted (first: "
            f"{asked[0].prompt!r}): choose layers yourself, locator.name=fixed 'locator.layers=[...]'"
        )
    prepared = [(number, r, *_tokens(lm, r)) for number, r in with_subject]
    facts, unknown = [], []
    for start in range(0, len(prepared), batch_size):
        some = prepared[start : start + batch_size]
        with torch.no_grad():
            said = continuations(lm, [row for _, _, row, _ in some])
        right = said.logits.argmax(1) == said.tokens
        missed = set(said.row[~right].tolist())
        for at, (number, request, row, subject) in enumerate(some):
            if at in missed:
                unknown.append(request)
            else:
                facts.append(Fact(request, row, subject, float(said.log_probability[at].exp()), number))
    if not facts:
        raise DataError(
            f"the model knows none of {len(prepared)} answers (first: {prepared[0][1].answer!r} after "
            f"{prepared[0][1].prompt!r}), and what it does not know cannot be traced: give requests that it answers, "
            "or choose layers yourself, locator.name=fixed 'locator.layers=[...]'"
        )
    notes = []
    if len(with_subject) < len(asked):
        notes.append(f"{len(asked) - len(with_subject)} of {len(asked)} requests have no subject: not traced")
    if unknown:
        notes.append(
            f"{len(unknown)} of {len(prepared)} answers are not what the model says (first: {unknown[0].answer!r} "
            f"after {unknown[0].prompt!r}): not traced"
        )
    return facts, notes


def noise_scale(lm: LanguageModel, facts: Sequence[Fact], sigmas: float) -> float:
    """Standard deviation of the noise: `sigmas` times that of the entries of the subjects' token embeddings (ROME)."""
    ids = torch.tensor([i for fact in facts for i in fact.row.ids[slice(*fact.subject)]], device=lm.device)
    with torch.no_grad():
        entries = lm.model.get_input_embeddings()(ids).to(torch.float64)  # (tokens, d)
    return sigmas * float(entries.std(correction=0))


def noise_of(lm: LanguageModel, fact: Fact, samples: int, scale: float, seed: int) -> Tensor:
    """Noise (samples, subject tokens, d): drawn on the CPU for each fact alone, so that batches decide nothing."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + fact.number)
    size = lm.model.get_input_embeddings().weight.shape[1]
    drawn = torch.randn(samples, fact.subject[1] - fact.subject[0], size, generator=generator)
    return (drawn * scale).to(lm.device, lm.dtype)


@contextmanager
def corrupted(lm: LanguageModel, fact: Fact, noise: Tensor) -> Iterator[None]:
    """Rows of this fact run with noise (b, subject tokens, d) on the subject's embeddings, where gradients start."""

    def add(states: Tensor) -> Tensor:
        noisy = states.clone()
        noisy[:, slice(*fact.subject)] += noise
        return noisy if noisy.requires_grad else noisy.requires_grad_(torch.is_grad_enabled())

    with replaced(lm, embeddings_of(lm), len(noise), add):
        yield


def _tokens(lm: LanguageModel, request: Request) -> tuple[Row, tuple[int, int]]:
    encoding = encode(lm.tokenizer, request.prompt)
    start, end = request.subject_start, request.subject_end
    assert start is not None and end is not None
    held = [index for index, (a, b) in enumerate(encoding.offsets) if a < end and b > start]
    if not held:
        raise ConfigError(f"no token of {request.prompt!r} holds the subject {request.subject!r}")
    space = puts_space(lm.answer_space, request.prompt)
    answer = answer_ids(lm.tokenizer, request.answer, space=space)
    check_length(lm, request.prompt, len(encoding.ids) + len(answer))
    check_tokens(lm, request.prompt, [*encoding.ids, *answer])
    row = Row(encoding.ids, held[-1], answer)
    return row, (held[0], held[-1] + 1)
