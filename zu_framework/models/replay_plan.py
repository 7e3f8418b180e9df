"""Where a replay enters, and how much memory it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zu_framework.models.modules import is_linear, linear_shape
from zu_framework.models.tokens import Row

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel

# norms, gates and rotations hold about as much as the linear maps' inputs and outputs
HELD_EACH_MAP = 2


def replay_bytes(
    lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False, anchors: int = 1
) -> int:
    """Estimate how much memory rows take while they are replayed: activations for the slope, keys and values.

    By the widths of the linear maps; routed experts are counted as the dense maps that they hold.

    Args:
        lm: The model.
        module: As of `capture`.
        rows: As of `capture`.
        whole: As of `capture`.
        anchors: Rows of which all that they predict is held, from before anything moves.

    Returns:
        Bytes.
    """
    start, _ = entry_of(lm, module)
    layers = lm.model.get_submodule(lm.architecture.layers)
    widths = [
        sum(linear_shape(part)) if is_linear(part) else 0
        for layer in layers[start:]
        for part in layer.modules()
    ]
    widths += [sum(p.shape[1:]) for layer in layers[start:] for p in layer.parameters() if p.ndim == 3]
    config = lm.model.config.get_text_config()
    hidden = int(config.hidden_size)
    windows = sum(len(row.ids) + len(row.continuation) - (0 if whole else row.position) for row in rows)
    prefixes = 0 if whole else max(row.position for row in rows) * len(rows)
    a_token = HELD_EACH_MAP * sum(widths) + 2 * hidden  # (the states that enter, and their moved copy)
    a_prefix = 2 * hidden * (len(layers) - start)
    predicted = anchors * int(config.vocab_size) * 4
    return (windows * a_token + prefixes * a_prefix) * lm.dtype.itemsize + predicted


def entry_of(lm: LanguageModel, module: str) -> tuple[int, str | None]:
    """Find where a replay enters.

    Args:
        lm: The model.
        module: Whose output is moved.

    Returns:
        The first layer to run again, and the module in it that is moved; None where the states that enter are.
    """
    prefix = f"{lm.architecture.layers}."
    index, _, rest = module.removeprefix(prefix).partition(".")
    layer = int(index)
    if not rest:
        return layer + 1, None
    added = lm.architecture.projections.get(layer) == module and not lm.architecture.scaled_branch.get(
        layer, True
    )
    # what is added to the residual stream as it is moves the layer's output by itself
    return (layer + 1, None) if added else (layer, module)
