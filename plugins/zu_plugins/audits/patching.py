"""What the untouched model's answers lose as another model's states are put in place of its own, layer by layer.

Above a patched layer nothing depends on what lies below it but keys and values of the tokens before the answer: they
are computed once, and each layer's patch runs the layers above it alone, on the patched tokens alone. Where a model's
own code cannot go on from there, the whole model runs for each layer, with a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from zu_framework import LanguageModel
from zu_framework.models import Readout, Row, batch, capture, continuations, find_readout, replaced, run_until

# of a mean log-probability, relative to one plus its size
AGREES = {torch.float64: 1e-6, torch.float32: 1e-4}
HALF_AGREES = 3e-2

# of a layer and its patch: each row's score (n,), the mean log-probability of a token of its answer
Score = Callable[[int, Sequence[Tensor]], Tensor]


def states_of(lm: LanguageModel, rows: Sequence[Row]) -> list[list[Tensor]]:
    """For each layer and row, the states (m, d) after it where the row's m answer tokens are predicted."""
    made = batch(rows, lm.device)
    blocks = [_block(lm, layer) for layer in range(lm.num_layers)]
    found: dict[str, list[Tensor]] = {}

    def take(name: str, entered: Tensor, left: Tensor) -> None:
        found[name] = [left[at, a:b].clone() for at, (a, b) in enumerate(_places(rows))]

    run_until(lm, blocks, made.input_ids, made.attention_mask, take)
    return [found[block] for block in blocks]


def costs(
    lm: LanguageModel, rows: Sequence[Row], patches: Sequence[Sequence[Sequence[Tensor]]]
) -> list[Tensor]:
    """Return what the answers lose as each layer's states are put in place of the model's own.

    Args:
        lm: The untouched model.
        rows: n facts: prompts, with their answers as continuations.
        patches: Of each other model its states, as `states_of` has them.

    Returns:
        For each other model (n, layers), nats a token, in float64.
    """
    own = _whole(lm, rows)
    score = _checked(lm, rows, patches[0])
    return [
        own[:, None] - torch.stack([score(layer, patch) for layer, patch in enumerate(states)], 1)
        for states in patches
    ]


@torch.no_grad()
def _whole(lm: LanguageModel, rows: Sequence[Row], layer: int = 0, patch: Sequence[Tensor] = ()) -> Tensor:
    """Mean log-probability of a token of each row's answer (n,), with or without a patch after a layer."""

    def put(states: Tensor) -> Tensor:
        new = states.clone()
        for at, (a, b) in enumerate(_places(rows)):
            new[at, a:b] = patch[at].to(new)
        return new

    with replaced(lm, _block(lm, layer), len(rows), put) if patch else nullcontext():
        made = continuations(lm, rows)
    return made.log_probability.double().cpu() / made.lengths.cpu()


class _Above:
    """The layers above each patch, on the tokens that predict the answers."""

    def __init__(self, lm: LanguageModel, rows: Sequence[Row], readout: Readout) -> None:
        self.readout = readout
        lengths = [len(row.continuation) for row in rows]
        # the answer's last token predicts nothing that counts
        read = [Row(row.ids, len(row.ids) - 1, row.continuation[:-1]) for row in rows]
        self.replay = capture(lm, _block(lm, 0), read)
        self.row = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(lengths))  # (p,)
        offset = torch.cat([torch.arange(length) for length in lengths])
        self.position = offset + torch.tensor([row.position for row in read])[self.row]
        self.tokens = torch.tensor([token for row in rows for token in row.continuation])
        self.lengths = torch.tensor(lengths)

    @torch.no_grad()
    def score(self, layer: int, patch: Sequence[Tensor]) -> Tensor:
        """Return the scores (n,) under one layer's patch."""
        entering = torch.zeros_like(self.replay.entering)
        for at, states in enumerate(patch):
            entering[at, : len(states)] = states.to(entering)
        # the replay starts at layer 1: `calls` has what each layer from there on is called with
        higher = replace(self.replay, start=layer + 1, entering=entering, calls=self.replay.calls[layer:])
        still = torch.zeros_like(self.replay.init)
        left = higher.last_states(still, self.row.to(self.replay.read.device), self.position.to(still.device))
        logs = self.readout.log_probabilities(left).double().cpu()  # (p, v)
        own = logs.gather(1, self.tokens[:, None])[:, 0]
        return torch.zeros(len(self.lengths), dtype=own.dtype).index_add(0, self.row, own) / self.lengths


def _checked(lm: LanguageModel, rows: Sequence[Row], states: Sequence[Sequence[Tensor]]) -> Score:
    """The quick way, where it gives what the whole model gives at a layer in the middle; else the whole model."""
    whole = partial(_whole, lm, rows)
    readout = find_readout(lm)
    if readout is None:
        return _instead(lm, "its logits are not those of a plain head over a final norm", whole)
    middle = (lm.num_layers - 1) // 2
    wanted = whole(middle, states[middle])
    try:
        quick = _Above(lm, rows, readout).score
        gap = (quick(middle, states[middle]) - wanted).abs() / (1 + wanted.abs())
    except Exception as cause:  # the model's own code, called in a way that it may not have been made for
        return _instead(lm, f"{type(cause).__name__}: {cause}", whole)
    if not bool((gap <= AGREES.get(lm.dtype, HALF_AGREES)).all()):
        return _instead(lm, f"the layers above differ from the whole model by {float(gap.max()):.1e}", whole)
    return quick


def _instead(lm: LanguageModel, why: str, whole: Score) -> Score:
    warnings.warn(
        f"depth of model type {lm.model_type!r}: {why}; the whole model runs instead, which is slower",
        stacklevel=2,
    )
    return whole


def _places(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Where each row's answer tokens are predicted: first place, and one past the last."""
    return [(len(row.ids) - 1, len(row.ids) - 1 + len(row.continuation)) for row in rows]


def _block(lm: LanguageModel, layer: int) -> str:
    return f"{lm.architecture.layers}.{layer}"
