"""Where a layer's parts write, and putting other states in place of a module's output."""

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
    """Name the module that turns tokens into vectors.

    Args:
        lm: The model.

    Returns:
        Its name.
    """
    wanted = lm.model.get_input_embeddings()
    name: str = next(name for name, module in lm.model.named_modules() if module is wanted)
    return name


def attention_projections(lm: LanguageModel) -> dict[int, str]:
    """Find the linear map through which each layer's attention writes to the residual stream.

    Found by behaviour: of the linear maps inside a layer's attention, the last that runs.

    Args:
        lm: The model.

    Returns:
        Layer -> name of the map. A layer without attention (a state-space layer) has no entry.

    Raises:
        ModelError: An attention writes through no linear map.
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
    """Put other states in place of a module's output while the block runs.

    Args:
        lm: The model.
        module: By name.
        rows: b, of the batches that run in the block.
        change: Gets states (b, t, d), leaves them as they are, and returns others of the same shape and dtype;
            gradients flow through it.

    Yields:
        Nothing.
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
