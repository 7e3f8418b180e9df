"""Hypothesis strategies for edit problems: structure is drawn, numbers are seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from zu_framework.problem import Background, EditProblem


@dataclass(frozen=True)
class Shape:
    """The structure of a problem; its numbers follow from `seed`.

    Args:
        outputs: o.
        inputs: i.
        requests: n.
        sensitive_rank: Of the sensitive values; None for full rank.
        duplicates: Requests that repeat the first.
        weight_rank: Of W; None for full rank.
        text_tokens: How many background keys the moment is of; fewer than inputs leave it a null space.
        earlier: Keys of edits that the model carries; 0 for none.
        retained: Keys of facts to retain.
        measured: Whether the value moment is given too, as one sweep over text gives it; else it follows from C.
        scale: Of the weight.
        dtype: Of weight, keys and targets.
        seed: Decides the numbers.
    """

    outputs: int = 12
    inputs: int = 20
    requests: int = 3
    sensitive_rank: int | None = None
    duplicates: int = 0
    weight_rank: int | None = None
    text_tokens: int = 64
    earlier: int = 0
    retained: int = 4
    measured: bool = False
    scale: float = 1.0
    dtype: torch.dtype = torch.float64
    seed: int = 0


@st.composite
def shapes(draw: Any, dtypes: tuple[torch.dtype, ...] = (torch.float64,), max_size: int = 24) -> Shape:
    """Draw shapes with n = 1, n > i, o > i, repeated requests, dependent sensitive values and weights among them.

    Args:
        draw: Hypothesis gives it.
        dtypes: Of the weight.
        max_size: Of outputs and inputs.

    Returns:
        A strategy.
    """
    outputs = draw(st.integers(4, max_size))
    inputs = draw(st.integers(3, max_size))
    requests = draw(st.one_of(st.integers(1, 4), st.just(inputs + 2)))
    # Q must leave some direction free: the projected form refuses it otherwise
    sensitive_rank = draw(st.integers(1, max(1, min(requests, outputs - 2))))
    return Shape(
        outputs=outputs,
        inputs=inputs,
        requests=requests,
        sensitive_rank=sensitive_rank,
        duplicates=draw(st.integers(0, max(0, min(2, requests - 1)))),
        weight_rank=draw(st.one_of(st.none(), st.integers(1, min(outputs, inputs)))),
        text_tokens=draw(st.sampled_from([4 * max_size, 3 * inputs, max(2, inputs // 2)])),
        earlier=draw(st.sampled_from([0, 0, 1, 3])),
        retained=draw(st.integers(1, 5)),
        measured=draw(st.booleans()),
        scale=draw(st.sampled_from([1e-2, 1.0, 30.0])),
        dtype=draw(st.sampled_from(dtypes)),
        seed=draw(st.integers(0, 2**16)),
    )


def edit_problems(**given: Any) -> st.SearchStrategy[EditProblem]:
    """Return a strategy for problems.

    Args:
        given: As `shapes` takes it.

    Returns:
        Problems of such shapes, with all tensors that a solver may need.
    """
    return shapes(**given).map(edit_problem)


def edit_problem(shape: Shape) -> EditProblem:
    """Return the problem of a shape, of random numbers.

    Args:
        shape: Its structure.

    Returns:
        A problem with sensitive values, bare keys, keys to retain, the key moment of random text, and what else the
        shape asks for.
    """
    made = torch.Generator().manual_seed(shape.seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made, dtype=torch.float64)

    weight = shape.scale * normal(shape.outputs, shape.inputs) / shape.inputs**0.5
    if shape.weight_rank is not None:
        left, sizes, right = torch.linalg.svd(weight, full_matrices=False)
        weight = left[:, : shape.weight_rank] * sizes[: shape.weight_rank] @ right[: shape.weight_rank]
    keys, text = normal(shape.inputs, shape.requests), normal(shape.inputs, shape.text_tokens)
    targets = shape.scale * normal(shape.outputs, shape.requests)
    sensitive = shape.scale * normal(shape.outputs, shape.requests)
    if shape.sensitive_rank is not None:
        sensitive = sensitive[:, : shape.sensitive_rank] @ normal(shape.sensitive_rank, shape.requests)
    for copy in range(1, shape.duplicates + 1):
        keys[:, copy], targets[:, copy], sensitive[:, copy] = keys[:, 0], targets[:, 0], sensitive[:, 0]
    weight, keys = weight.to(shape.dtype), keys.to(shape.dtype)
    moment = (text @ text.T / shape.text_tokens).to(shape.dtype)
    wide = weight.double()
    of_outputs = wide @ moment.double() @ wide.T if shape.measured else None
    return EditProblem(
        weight=weight,
        keys=keys,
        values=weight @ keys,
        targets=targets.to(shape.dtype),
        sensitive=sensitive.to(shape.dtype),
        background=Background(moment, of_outputs, count=shape.text_tokens),
        bare_keys=keys + 0.1 * normal(shape.inputs, shape.requests).to(shape.dtype),
        retain_keys=normal(shape.inputs, shape.retained).to(shape.dtype),
        earlier_keys=normal(shape.inputs, shape.earlier).to(shape.dtype) if shape.earlier else None,
    )
