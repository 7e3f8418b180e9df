"""Replaying the layers above a module: what lies below it, and before the read position, is computed once.

A change at the read position of a module reaches only what comes later: later layers, at this position and the next.
`capture` runs a batch once and keeps the states that enter the first layer above the module, from the read position on
(the window), the keys and values that the later layers made of the positions before it, and the arguments that each
layer is called with. `Replay.last_states` then runs those layers alone. Rows are aligned at their read positions, so
that a batch is as wide as its longest window, not as its longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.models.layer_calls import layer_calls
from zu_framework.models.modules import Stop, first, is_linear, linear_shape
from zu_framework.models.prefix_cache import PrefixCache
from zu_framework.models.tokens import Batch, Row, batch, needed_mask
from zu_framework.models.tracing import add_at

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


ACTIVATIONS_A_MAP = 2  # norms, gates and rotations keep about as much as the linear maps' inputs and outputs


@dataclass(frozen=True)
class Replay:
    """The layers from `start` on, ready to be run on the windows of b rows, s wide.

    Args:
        lm: The model.
        start: The first layer that is run.
        inside: The module of that layer whose output is moved; None: the states that enter are.
        ids: (b, s): tokens of the windows.
        entering: (b, s, d): states that enter layer `start`.
        read: (b,): the window's column that is moved.
        shift: (b,): the row's position that column 0 is.
        lengths: (b,): of the rows.
        init: (b, o): the module's output at the read position, in float32 or better.
        cache: Keys and values of the positions before the windows, if any.
        rest: What follows the states in a layer's output, if that is a tuple.
        calls: What each layer is called with besides states.
    """

    lm: LanguageModel
    start: int
    inside: str | None
    ids: Tensor
    entering: Tensor
    read: Tensor
    shift: Tensor
    lengths: Tensor
    init: Tensor
    cache: PrefixCache | None
    rest: tuple[Any, ...] | None
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def last_states(self, delta: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """Run the layers with each row moved, and read the last one's output.

        Args:
            delta: (b, o): what is added at each row's read position.
            row: (p,): whose states are read.
            position: (p,): where in the row.

        Returns:
            States (p, d) that the last layer gives; gradients flow to `delta`.
        """
        hidden = self.entering
        moved: Any = nullcontext()
        if self.inside is None:
            step = delta.to(device=hidden.device, dtype=hidden.dtype)
            lines = torch.arange(len(self.read), device=hidden.device)
            hidden = hidden.index_put((lines, self.read.to(hidden.device)), step, accumulate=True)
        else:
            hidden = hidden.clone()  # a layer may write into what it is given
            moved = add_at(self.lm, self.inside, self.read, delta)
        layers = self.lm.model.get_submodule(self.lm.architecture.layers)
        with moved:
            for layer, (arguments, named) in zip(layers[self.start :], self.calls, strict=True):
                hidden = first(layer(hidden, *arguments, **named))
        at = row.to(hidden.device), (position - self.shift[row]).to(hidden.device)
        return hidden[at]

    @property
    def nbytes(self) -> int:
        """What it holds."""
        held = [
            self.entering,
            *(t for pair in (self.cache.held.values() if self.cache else ()) for t in pair),
        ]
        return sum(tensor.nbytes for tensor in held)

    def of(self, rows: Tensor) -> Replay:
        """Take some of the rows, as narrow as they allow.

        Args:
            rows: (n,): which.

        Returns:
            Their replay.
        """
        shift, lengths = self.shift[rows], self.lengths[rows]
        width = int((lengths - shift).max())
        cache = None
        if self.cache is not None and int(shift.max()):
            cache = self.cache.of(rows, int(shift.max()))
        part = replace(
            self,
            ids=self.ids[rows, :width],
            entering=self.entering[rows.to(self.entering.device), :width],
            read=self.read[rows],
            shift=shift,
            lengths=lengths,
            init=self.init[rows],
            cache=cache,
            calls=[],
        )
        part.calls.extend(layer_calls(part))
        return part


def capture(lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False) -> Replay:
    """Run rows once, so that what lies above a module can be run again with its output moved at their read positions.

    Args:
        lm: The model; no gradient is kept.
        module: A decoder layer, or a module inside one.
        rows: b rows with their read positions.
        whole: Whether each window is the whole row, for models that cannot go on from kept keys and values.

    Returns:
        What is needed to run the layers above again.
    """
    made = batch(rows, lm.device)
    lengths = made.attention_mask.sum(1)
    start, inside = entry_of(lm, module)
    shift = torch.zeros_like(made.positions) if whole else made.positions
    prefix, width = int(shift.max()), int((lengths - shift).max())
    columns = torch.arange(width, device=lm.device)
    take = (shift[:, None] + columns).clamp_max(made.input_ids.shape[1] - 1)  # (b, s)
    cache = None
    if prefix:
        before = shift[:, None] - prefix + torch.arange(prefix, device=lm.device)
        cache = PrefixCache(prefix, before.clamp_min(0), start)
    work = torch.float64 if lm.dtype == torch.float64 else torch.float32

    def window(states: Tensor) -> Tensor:
        return states.gather(1, take.to(states.device)[:, :, None].expand(-1, -1, states.shape[2]))

    def at_read(output: Tensor) -> Tensor:
        lines = torch.arange(len(rows), device=output.device)
        states = output.reshape(*made.input_ids.shape, output.shape[-1])  # some see all tokens as one list
        return states[lines, made.positions.to(output.device)].to(lm.device, work)

    seen = _run(lm, module, start, made, cache, window, at_read)
    replay = Replay(
        lm=lm,
        start=start,
        inside=inside,
        ids=made.input_ids.gather(1, take),
        entering=seen["entering"],
        read=made.positions - shift,
        shift=shift,
        lengths=lengths,
        init=seen["init"],
        cache=cache,
        rest=seen["rest"],
    )
    if cache is not None:
        cache.recording = False
    replay.calls.extend(layer_calls(replay))
    return replay


def replay_bytes(lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False) -> int:
    """Estimate the memory that rows take while they are replayed: activations kept for the slope, keys and values.

    From the widths of the linear maps; routed experts are counted as the dense maps that they hold.

    Args:
        lm: The model.
        module: A decoder layer, or a module inside one.
        rows: With their read positions.
        whole: As for `capture`.

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
    a_token = ACTIVATIONS_A_MAP * sum(widths) + 2 * hidden  # (the states that enter, and their moved copy)
    a_prefix = 2 * hidden * (len(layers) - start)
    # of the anchor's row: what it said before anything moved
    return (windows * a_token + prefixes * a_prefix) * lm.dtype.itemsize + int(config.vocab_size) * 4


def entry_of(lm: LanguageModel, module: str) -> tuple[int, str | None]:
    """Find where a replay of what lies above a module starts.

    Args:
        lm: The model.
        module: A decoder layer, or a module inside one.

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


def _run(
    lm: LanguageModel,
    module: str,
    start: int,
    made: Batch,
    cache: PrefixCache | None,
    window: Callable[[Tensor], Tensor],
    at_read: Callable[[Tensor], Tensor],
) -> dict[str, Any]:
    """One pass: the module's output, the states that enter layer `start`, and what a layer's output looks like.

    Both are copied as they pass: some layers (falcon's) add to them in place later.
    """
    layers = lm.model.get_submodule(lm.architecture.layers)
    seen: dict[str, Any] = {}

    def enters(_: Any, arguments: Any, named: Any) -> None:
        seen["entering"] = window(arguments[0] if arguments else named["hidden_states"])

    def leaves(_: Any, __: Any, output: Any) -> None:
        seen["rest"] = tuple(output[1:]) if isinstance(output, tuple | list) else None
        if start == len(layers):
            seen["entering"] = window(first(output))
        raise Stop

    last = len(layers) - 1 if cache is not None else min(start, len(layers) - 1)
    with ExitStack() as stack, torch.no_grad(), suppress(Stop):
        own = lm.model.get_submodule(module)
        stack.callback(
            own.register_forward_hook(lambda m, a, out: seen.update(init=at_read(first(out)))).remove
        )
        if start < len(layers):
            stack.callback(
                layers[start].register_forward_pre_hook(enters, with_kwargs=True, prepend=True).remove
            )
        stack.callback(layers[last].register_forward_hook(leaves).remove)
        given: dict[str, Any] = {"use_cache": False}
        if cache is not None:
            given = {"use_cache": True, "past_key_values": cache}
        lm.model(input_ids=made.input_ids, attention_mask=needed_mask(made.attention_mask), **given)
    return seen
