"""What the untouched model's answers lose as another model's states are put in place of its own, layer by layer.

Above a patched layer nothing depends on what lies below it but keys and values of the tokens before the answer: they
are computed once, and each layer's patch runs the layers above it alone, on the patched tokens alone. Where a model's
own code cannot go on from there, the whole model runs for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from zu_framework import LanguageModel
from zu_framework.models import Row, batch, capture, continuations, find_readout, replaced, run_until

# of a mean log-probability, relative to one plus its size
AGREES = {torch.float64: 1e-6, torch.float32: 1e-4}
HALF_AGREES = 3e-2
# what a model's code may raise where it is called in a way that it was not made for
UNFIT = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, NotImplementedError)


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
    above = _above(lm, rows, patches[0])
    found = []
    for states in patches:
        scores = above(states) if above is not None else _each_whole(lm, rows, states)
        found.append(own[:, None] - scores)
    return found


def _each_whole(lm: LanguageModel, rows: Sequence[Row], states: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean log-probability of a token of each row's answer under each layer's patch (n, layers): the whole model."""
    return torch.stack([_whole(lm, rows, layer, patch) for layer, patch in enumerate(states)], 1)


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

    def __init__(self, lm: LanguageModel, rows: Sequence[Row]) -> None:
        readout = find_readout(lm)
        if readout is None:
            raise NotImplementedError("no plain norm and head at the model's end")
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

    def __call__(self, states: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the scores (n, layers) of a model's states."""
        return torch.stack([self.score(layer, patch) for layer, patch in enumerate(states)], 1)

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


def _above(lm: LanguageModel, rows: Sequence[Row], states: Sequence[Sequence[Tensor]]) -> _Above | None:
    """The quick way, where it gives what the whole model gives at a layer in the middle; else None."""
    middle = (lm.num_layers - 1) // 2
    wanted = _whole(lm, rows, middle, states[middle])
    try:
        above = _Above(lm, rows)
        gap = (above.score(middle, states[middle]) - wanted).abs() / (1 + wanted.abs())
    except UNFIT:
        return None
    return above if bool((gap <= AGREES.get(lm.dtype, HALF_AGREES)).all()) else None


def _places(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Where each row's answer tokens are predicted: first place, and one past the last."""
    return [(len(row.ids) - 1, len(row.ids) - 1 + len(row.continuation)) for row in rows]


def _block(lm: LanguageModel, layer: int) -> str:
    return f"{lm.architecture.layers}.{layer}"
