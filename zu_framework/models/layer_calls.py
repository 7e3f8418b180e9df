"""What a model's own forward pass calls its layers with, when the layers themselves do not run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from zu_framework.models.modules import Stop

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel
    from zu_framework.models.replay import Replay


def layer_calls(replay: Replay) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return what each layer from `start` on is called with besides states: the model's own forward, layers left out.

    Args:
        replay: Its calls are not there yet.
    """
    lm, prefix = replay.lm, 0 if replay.cache is None else replay.cache.width
    if replay.start == lm.num_layers:
        return []
    device = replay.ids.device
    columns = torch.arange(replay.ids.shape[1], device=device)
    positions = torch.minimum(replay.shift[:, None] + columns, replay.lengths[:, None] - 1)  # (b, s)
    before = torch.arange(-prefix, 0, device=device)
    known = replay.shift[:, None] + before >= 0  # (b, prefix)
    ahead = replay.shift[:, None] + columns < replay.lengths[:, None]  # (b, s)
    mask = torch.cat([known, ahead], 1).long()
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
            raise Stop
        states = arguments[0] if arguments else named["hidden_states"]
        return states if replay.rest is None else (states, *replay.rest)

    with _instead(lm, record), torch.no_grad(), suppress(Stop):
        lm.model(input_ids=replay.ids, attention_mask=mask, **given)
    return calls


@contextmanager
def _instead(
    lm: LanguageModel, record: Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
) -> Iterator[None]:
    """Meanwhile no layer runs: what `record(index, arguments, named arguments)` returns stands for its output."""
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
