"""What a torch module is to an edit: a linear map or not, how it keeps its weight, what it returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from zu_framework.errors import ModelError

FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def is_linear(module: nn.Module) -> bool:
    """Return whether a module is a dense linear map.

    Args:
        module: Any module.

    Returns:
        True for `nn.Linear`, and for `Conv1D` of transformers.
    """
    return isinstance(module, nn.Linear) or transposed(module)


def transposed(module: nn.Module) -> bool:
    """Return whether a module keeps its weight as (i, o)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def linear_shape(module: Any) -> tuple[int, int]:
    """Return (o, i) of a linear map."""
    shape = tuple(module.weight.shape)
    return (shape[1], shape[0]) if transposed(module) else (shape[0], shape[1])


def first(output: Any) -> Tensor:
    """Return a module's hidden states: its output, or the first entry of a tuple, list or `ModelOutput`."""
    tensor: Tensor = output if isinstance(output, Tensor) else output[0]
    return tensor


def with_first(output: Any, states: Tensor) -> Any:
    """Return a module's output with other hidden states in it.

    Args:
        output: As the module returned it: a tensor, a tuple, a list (GPT-1) or a `ModelOutput`; left as it was.
        states: In place of the first entry.
    """
    if isinstance(output, Tensor):
        return states
    if isinstance(output, tuple | list):
        return type(output)([states, *output[1:]])
    changed = type(output)(**output)
    changed[next(iter(changed))] = states
    return changed


def by_token(states: Tensor, rows: int, module: str) -> Tensor:
    """Return states as (b, t, d): a view where memory allows.

    Args:
        states: (b, t, d), or all tokens of a batch as one list (b t, d), as OPT's MLP sees them.
        rows: b.
        module: Whose they are, for messages.

    Raises:
        ModelError: They have more axes: some models pass several streams of states at once.
    """
    if states.ndim > 3:
        raise ModelError(
            f"module {module!r} passes {states.shape[0]} streams of states at once, which are neither read nor steered "
            "here: choose the layers yourself"
        )
    return states if states.ndim == 3 else states.reshape(rows, -1, states.shape[-1])
