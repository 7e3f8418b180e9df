"""Replaying the layers above a module: what lies below it, and before the read position, is computed once.

A change at the read position of a module reaches only what comes later: later layers, at this position and the next.
`capture` runs a batch once and keeps the states that enter the first layer above the module, from the read position on
(the window), the keys and values that the later layers made of the positions before it, and the arguments that each
layer is called with. `Replay.last_states` then runs those layers alone. Rows are aligned at their read positions, so
that a batch is as wide as its longest window, not as its longest row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from zu_framework.models.modules import first, is_linear, linear_shape
from zu_framework.models.tokens import Batch, Row, batch, needed_mask
from zu_framework.models.tracing import add_at

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


KEPT_EACH_MAP = 2  # norms, gates and rotations keep about as much as the linear maps' inputs and outputs


class _Stop(Exception):
    """Ends a forward pass where nothing more is wanted of it."""


class PrefixCache(DynamicCache):
    """Keys and values of the positions before each row's window, aligned at its end; constant.

    While it records, it copies them from the passing tensors (b, h, t, e); afterwards it puts them before the window's
    own, which it does not keep.
    """

    def __init__(self, width: int, take: Tensor, from_layer: int) -> None:
        super().__init__()
        self.width, self.from_layer = width, from_layer
        self.take = take  # (b, width): which position of a row lies in each column
        self.recording = True
        self.held: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """What a layer's attention reads: keys and values of all positions."""
        if self.recording:
            if layer_idx >= self.from_layer:
                self.held[layer_idx] = self._aligned(key_states), self._aligned(value_states)
            return key_states, value_states
        keys, values = self.held[layer_idx]
        return torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)

    def _aligned(self, states: Tensor) -> Tensor:
        index = self.take.to(states.device)[:, None, :, None]
        return states.gather(2, index.expand(-1, states.shape[1], -1, states.shape[3]))

    def of(self, rows: Tensor, width: int) -> PrefixCache:
        """The cache of some of the rows, its last `width` columns."""
        part = PrefixCache(width, self.take[rows], self.from_layer)
        part.recording = False
        part.held = {
            layer: tuple(t[rows.to(t.device), :, t.shape[2] - width :] for t in pair)  # type: ignore[misc]
            for layer, pair in self.held.items()
        }
        return part

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before those that the model is called with."""
        return 0 if self.recording else self.width

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """The same, by the name that masks ask it by."""
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Columns that attention reads, and the first of them."""
        return self.get_seq_length() + query_length, 0

    @property
    def is_sliding(self) -> list[bool]:
        """No layer drops positions here: masks see to windows."""
        return [False]


@dataclass(frozen=True)
class Replay:
    """The layers from `start` on, ready to be run on the windows of b rows, s wide.

    entering (b, s, d): states that enter layer `start`. inside: the module of that layer whose output is moved; None:
    the states that enter are. read (b,): the window's column that is moved; shift (b,): the row's position that column
    0 is; lengths (b,): of the rows. init (b, o): the module's output at the read position, in float32 or better.
    """

    lm: LanguageModel
    start: int
    inside: str | None
    ids: Tensor  # (b, s)
    entering: Tensor
    read: Tensor
    shift: Tensor
    lengths: Tensor
    init: Tensor
    cache: PrefixCache | None
    answer: tuple[Any, ...] | None  # what follows the states in a layer's output, if that is a tuple
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def last_states(self, delta: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """States (p, d) that the last layer gives at places (row, its position), each row moved by delta (b, o)."""
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
        """The replay of some of the rows, as narrow as they allow."""
        shift, lengths = self.shift[rows], self.lengths[rows]
        width = int((lengths - shift).max())
        cache = None
        if self.cache is not None and int(shift.max()):
            cache = self.cache.of(rows, int(shift.max()))
        part = Replay(
            self.lm, self.start, self.inside, self.ids[rows, :width],
            self.entering[rows.to(self.entering.device), :width], self.read[rows], shift, lengths, self.init[rows],
            cache, self.answer,
        )  # fmt: skip
        part.calls.extend(_calls(part))
        return part


def capture(lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False) -> Replay:
    """Run rows once, so that what lies above `module` can be run again with its output moved at their read positions.

    whole: each window is the whole row, for models that cannot go on from kept keys and values. No gradient.
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
        lm, start, inside, made.input_ids.gather(1, take), seen["entering"], made.positions - shift, shift, lengths,
        seen["init"], cache, seen["answer"],
    )  # fmt: skip
    if cache is not None:
        cache.recording = False
    replay.calls.extend(_calls(replay))
    return replay


def replay_bytes(lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False) -> int:
    """About how much memory the rows take while they are replayed: activations kept for the slope, keys and values.

    An estimate from the widths of the linear maps; routed experts are counted as the dense maps that they hold.
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
    a_token = KEPT_EACH_MAP * sum(widths) + 2 * hidden  # (the states that enter, and their moved copy)
    a_prefix = 2 * hidden * (len(layers) - start)
    # of the anchor's row: what it said before anything moved
    return (windows * a_token + prefixes * a_prefix) * lm.dtype.itemsize + int(config.vocab_size) * 4


def entry_of(lm: LanguageModel, module: str) -> tuple[int, str | None]:
    """The first layer to run again, and the module in it that is moved, if it is not the states that enter."""
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
        seen["answer"] = tuple(output[1:]) if isinstance(output, tuple | list) else None
        if start == len(layers):
            seen["entering"] = window(first(output))
        raise _Stop

    last = len(layers) - 1 if cache is not None else min(start, len(layers) - 1)
    with ExitStack() as stack, torch.no_grad(), suppress(_Stop):
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


def _calls(replay: Replay) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What each layer from `start` on is called with besides states: the model's own forward, its layers left out."""
    lm, prefix = replay.lm, 0 if replay.cache is None else replay.cache.width
    if replay.start == lm.num_layers:
        return []
    device = replay.ids.device
    columns = torch.arange(replay.ids.shape[1], device=device)
    positions = torch.minimum(replay.shift[:, None] + columns, replay.lengths[:, None] - 1)  # (b, s)
    before = torch.arange(-prefix, 0, device=device)
    mask = torch.cat(
        [
            replay.shift[:, None] + before >= 0,
            replay.shift[:, None] + columns < replay.lengths[:, None],
        ],
        1,
    ).long()  # (b, prefix + s)
    given: dict[str, Any] = {"use_cache": False}
    if replay.cache is not None:
        given = {"use_cache": True, "past_key_values": replay.cache}
        if "position_ids" in inspect.signature(lm.model.forward).parameters:
            given["position_ids"] = positions
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def record(index: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if index >= replay.start:
            rest = {name: value for name, value in named.items() if name != "hidden_states"}
            calls.append((arguments[1:], rest))
        if index == lm.num_layers - 1:
            raise _Stop
        states = arguments[0] if arguments else named["hidden_states"]
        return states if replay.answer is None else (states, *replay.answer)

    with _instead(lm, record), torch.no_grad(), suppress(_Stop):
        lm.model(input_ids=replay.ids, attention_mask=mask, **given)
    return calls


@contextmanager
def _instead(
    lm: LanguageModel, record: Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
) -> Iterator[None]:
    """Meanwhile a layer does not run: `record(index, arguments, named arguments)` answers for it."""
    layers = lm.model.get_submodule(lm.architecture.layers)
    own = [layer.__dict__.get("forward") for layer in layers]  # of a library that wraps layers, perhaps
    try:
        for index, layer in enumerate(layers):
            layer.forward = lambda *a, _index=index, **k: record(_index, a, k)
        yield
    finally:
        for layer, kept in zip(layers, own, strict=True):
            del layer.forward
            if kept is not None:
                layer.forward = kept
