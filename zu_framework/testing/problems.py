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

    duplicates: requests that repeat the first. weight_rank: None for full rank. text_tokens: how many background keys
    the moment is of; fewer than inputs leave it a null space. scale: of the weight.
    """

    outputs: int = 12
    inputs: int = 20
    requests: int = 3
    sensitive_rank: int | None = None
    duplicates: int = 0
    weight_rank: int | None = None
    text_tokens: int = 64
    scale: float = 1.0
    dtype: torch.dtype = torch.float64
    seed: int = 0


@st.composite
def shapes(draw: Any, dtypes: tuple[torch.dtype, ...] = (torch.float64,), max_size: int = 24) -> Shape:
    """Shapes with n = 1, n > i, o > i, repeated requests, dependent sensitive values and weights among them."""
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
        scale=draw(st.sampled_from([1e-2, 1.0, 30.0])),
        dtype=draw(st.sampled_from(dtypes)),
        seed=draw(st.integers(0, 2**16)),
    )


def edit_problems(**given: Any) -> st.SearchStrategy[EditProblem]:
    """Problems of `shapes(**given)`."""
    return shapes(**given).map(edit_problem)


def edit_problem(shape: Shape) -> EditProblem:
    """The problem of a shape: random weight, keys, targets, sensitive values, and the key moment of random text."""
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
    return EditProblem(
        weight=weight,
        keys=keys,
        values=weight @ keys,
        targets=targets.to(shape.dtype),
        sensitive=sensitive.to(shape.dtype),
        background=Background((text @ text.T / shape.text_tokens).to(shape.dtype), count=shape.text_tokens),
        bare_keys=keys + 0.1 * normal(shape.inputs, shape.requests).to(shape.dtype),
        retain_keys=normal(shape.inputs, 4).to(shape.dtype),
    )
