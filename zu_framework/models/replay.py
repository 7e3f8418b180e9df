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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zu_framework.models.modules import first
from zu_framework.models.prefix_cache import PrefixCache
from zu_framework.models.replay_plan import entry_of
from zu_framework.models.tokens import Batch, Row, batch, needed_mask
from zu_framework.models.tracing import add_at

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


class _Stop(Exception):
    """Ends a forward pass where nothing more is wanted of it."""


@dataclass(frozen=True)
class Replay:
    """The layers from `start` on, ready to be run on the windows of b rows, s wide.

    Args:
        lm: The model.
        start: The first layer that is run again.
        inside: The module of that layer whose output is moved; None moves the states that enter.
        ids: Token ids of the windows (b, s).
        entering: States that enter layer `start` (b, s, d).
        read: The window's column that is moved (b,).
        shift: The row's position that column 0 is (b,).
        lengths: Of the rows (b,).
        init: The module's output at the read position (b, o), in float32 or better.
        cache: Keys and values of the positions before the windows; None where there are none.
        beside: What follows the states in a layer's output, if that is a tuple.
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
    beside: tuple[Any, ...] | None
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def last_states(self, delta: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """Run the layers again, each row moved.

        Args:
            delta: What is added at the read positions (b, o); gradients flow to it.
            row: Of each of p places (p,).
            position: In its row, of each place (p,).

        Returns:
            States (p, d) that the last layer gives there.
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
        """Return the replay of some of the rows, as narrow as they allow.

        Args:
            rows: Their indices.

        Returns:
            The replay.
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
        part.calls.extend(_calls(part))
        return part


def capture(lm: LanguageModel, module: str, rows: Sequence[Row], *, whole: bool = False) -> Replay:
    """Run rows once, so that what lies above `module` can be run again with its output moved at their read positions.

    Args:
        lm: The model.
        module: A layer, or a module of one.
        rows: Prompts with what follows them.
        whole: Whether each window is the whole row, for models that cannot go on from stored keys and values.

    Returns:
        The replay; nothing of it asks for gradients.
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
    work = torch.promote_types(lm.dtype, torch.float32)

    def window(states: Tensor) -> Tensor:
        return states.gather(1, take.to(states.device)[:, :, None].expand(-1, -1, states.shape[2]))

    def at_read(output: Tensor) -> Tensor:
        lines = torch.arange(len(rows), device=output.device)
        states = output.reshape(*made.input_ids.shape, output.shape[-1])  # some see all tokens as one list
        return states[lines, made.positions.to(output.device)].to(lm.device, work)

    seen = _run(lm, module, start, made, cache, window, at_read)
    ids, read = made.input_ids.gather(1, take), made.positions - shift
    entering, init, beside = (seen[name] for name in ("entering", "init", "beside"))
    replay = Replay(lm, start, inside, ids, entering, read, shift, lengths, init, cache, beside)
    if cache is not None:
        cache.recording = False
    replay.calls.extend(_calls(replay))
    return replay


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
        seen["beside"] = tuple(output[1:]) if isinstance(output, tuple | list) else None
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
    there = replay.shift[:, None] + before >= 0, replay.shift[:, None] + columns < replay.lengths[:, None]
    mask = torch.cat(there, 1).long()  # (b, prefix + s)
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
        return states if replay.beside is None else (states, *replay.beside)

    with _instead(lm, record), torch.no_grad(), suppress(_Stop):
        lm.model(input_ids=replay.ids, attention_mask=mask, **given)
    return calls


@contextmanager
def _instead(
    lm: LanguageModel, record: Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
) -> Iterator[None]:
    """Run `record(index, arguments, named arguments)` in place of each layer, while the block runs."""
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
