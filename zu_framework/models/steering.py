"""Where a layer's parts write, and putting other states in place of what a module says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.errors import ModelError
from zu_framework.models.modules import by_token, first, is_linear, linear_shape, with_first

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def embeddings_of(lm: LanguageModel) -> str:
    """The module that turns tokens into vectors."""
    wanted = lm.model.get_input_embeddings()
    name: str = next(name for name, module in lm.model.named_modules() if module is wanted)
    return name


def attention_projections(lm: LanguageModel) -> dict[int, str]:
    """Layer -> the linear map through which its attention writes to the residual stream.

    Found by behaviour: of the linear maps inside a layer's attention, the last that runs. A layer without attention
    (a state-space layer) has no entry. Raises `ModelError` where an attention writes through no linear map.
    """
    hidden = int(lm.model.config.get_text_config().hidden_size)
    ran: dict[int, str] = {}
    found: set[int] = set()
    with ExitStack() as stack:
        for layer in range(lm.num_layers):
            block = f"{lm.architecture.layers}.{layer}"
            for name, module in lm.model.get_submodule(block).named_modules():
                if not _attends(lm.model.get_submodule(block), name):
                    continue
                found.add(layer)
                if is_linear(module) and linear_shape(module)[0] == hidden:

                    def note(
                        _: Any, __: Any, ___: Any, at: int = layer, what: str = f"{block}.{name}"
                    ) -> None:
                        ran[at] = what

                    stack.callback(module.register_forward_hook(note).remove)
        with torch.no_grad():
            lm.model(torch.tensor([[1, 2]], device=lm.device), use_cache=False)
    for layer in sorted(found - set(ran)):
        raise ModelError(
            f"the attention of layer {layer} writes through no linear map onto the residual stream (size {hidden})"
        )
    return ran


@contextmanager
def replaced(lm: LanguageModel, module: str, rows: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Put `change(states (b, t, d))` in place of a module's output while the block runs, b = rows.

    `change` answers states of the same shape and dtype and leaves what it got as it was; gradients flow through it.
    """

    def put(_: Any, __: Any, output: Any) -> Any:
        states = first(output)
        new = change(by_token(states, rows, module)).reshape(states.shape)
        return with_first(output, new)

    handle = lm.model.get_submodule(module).register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


def _attends(layer: Any, name: str) -> bool:
    """Whether a module of a layer is, or lies inside, one whose class says attention."""
    parts = name.split(".") if name else []
    return any(
        "attention" in type(layer.get_submodule(".".join(parts[:depth]))).__name__.lower()
        for depth in range(1, len(parts) + 1)
    )
