"""Running parts of a model again on what they were given: which of them mix tokens, and what feeds what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zu_framework.errors import ModelError
from zu_framework.models.modules import first, with_first

# two rows that differ in the last token alone; below 10, so that any vocabulary holds them
TOKENS = ((2, 3, 4, 5, 6), (2, 3, 4, 5, 7))
ROWS, WIDTH = len(TOKENS), len(TOKENS[0])
# relative: what is computed from the same numbers agrees better, but for experts, whose products change their shapes
SAME = {torch.float64: 1e-7, torch.float32: 1e-5}
HALF_SAME = 4e-3


@dataclass(frozen=True)
class Call:
    """What a module was called with, on `TOKENS`; tensors are copies, since some modules write into what they get."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]

    def run(self, module: nn.Module) -> Any:
        """Return what the module returns, its own hooks left out."""
        return module.forward(*_copied(self.arguments), **_copied(dict(self.named)))

    def moved(self) -> Call | None:
        """Return the same call with other states at the first token; None where no argument has a token axis."""
        found = [False]

        def move(tensor: Tensor) -> Tensor:
            axis = _token_axis(tensor)
            if axis is None or not tensor.is_floating_point():
                return tensor
            found[0] = True
            changed = tensor.clone()
            at = _first_token(changed, axis)
            at += 3 * (1 + at.abs().mean()) * noise_like(at)
            return changed

        # position embeddings and masks come in tuples or have no token axis in front: they stay as they are
        arguments = tuple(move(a) if isinstance(a, Tensor) else a for a in self.arguments)
        named = {k: move(v) if isinstance(v, Tensor) and _is_state(k) else v for k, v in self.named.items()}
        return Call(arguments, named) if found[0] else None


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Call]]]:
    """Yield a mapping that fills while the block runs: the calls of each module that ran, in the order of their starts.

    Args:
        modules: By the name that their calls are found under.
    """
    calls: dict[str, list[Call]] = {}
    with ExitStack() as stack:
        for name, module in modules.items():

            def note(_: Any, arguments: Any, named: Any, name: str = name) -> None:
                calls.setdefault(name, []).append(Call(_copied(arguments), _copied(named)))

            stack.callback(module.register_forward_pre_hook(note, with_kwargs=True, prepend=True).remove)
        yield calls


def run_tokens(model: Any, rows: Any = TOKENS) -> Any:
    """Return what a model returns for token ids (b, t), without gradients.

    Raises:
        ModelError: The model's own forward pass fails.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.tensor(rows, device=model.get_input_embeddings().weight.device) % vocabulary
    try:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False)
    except Exception as cause:  # the model's code and config are the user's, and may fail in any way
        lines = str(cause).strip().splitlines() or [""]
        raise ModelError(
            f"model type {model.config.model_type!r}: its own forward pass fails on {ids.shape[1]} tokens "
            f"({type(cause).__name__}: {lines[0]}); its config and weights do not fit each other, or it needs more "
            "than text"
        ) from cause


@torch.no_grad()
def mixes_tokens(module: nn.Module, call: Call) -> bool | None:
    """Return whether a later token's output changes with the first token's states; None where that cannot be tried."""
    moved = call.moved()
    if moved is None:
        return None
    before, after = first(call.run(module)), first(moved.run(module))
    axis = _token_axis(before)
    if axis is None:
        return None
    rest = torch.ones(WIDTH, dtype=torch.bool, device=before.device)
    rest[0] = False
    old, new = (_by_token(states, axis)[rest] for states in (before, after))
    return _apart(old, new)


@torch.no_grad()
def feeds(whole: nn.Module, call: Call, parts: Mapping[str, nn.Module]) -> dict[str, set[str]]:
    """Return which parts a part feeds: moving its output moves what enters them. Only parts that run are there.

    Args:
        whole: Runs the parts when it is called.
        call: What it is called with.
        parts: Modules inside it, by name.
    """
    with recorded(parts) as calls:
        call.run(whole)
    found: dict[str, set[str]] = {}
    for name in calls:

        def move(_: Any, __: Any, output: Any) -> Any:
            states = first(output)
            return with_first(output, states + 3 * (1 + states.abs().mean()) * noise_like(states))

        handle = parts[name].register_forward_hook(move)
        try:
            with recorded(parts) as again:
                call.run(whole)
        finally:
            handle.remove()
        found[name] = {
            other for other in calls if other != name and _differ(calls[other][0], again[other][0])
        }
    return found


def noise_like(tensor: Tensor) -> Tensor:
    """Return standard normal numbers of a tensor's shape, dtype and device, always the same; no global draw."""
    drawn = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return drawn.to(tensor.device, tensor.dtype)


def _differ(one: Call, other: Call) -> bool:
    pairs = zip(_states(one), _states(other), strict=True)
    return any(_apart(a, b) for a, b in pairs)


def _apart(one: Tensor, other: Tensor) -> bool:
    allowed = SAME.get(one.dtype, HALF_SAME)
    return bool((one.double() - other.double()).norm() > allowed * one.double().norm())


def _states(call: Call) -> list[Tensor]:
    given = (*call.arguments, *call.named.values())
    return [value for value in given if isinstance(value, Tensor) and value.is_floating_point()]


def _is_state(name: str) -> bool:
    return "mask" not in name and "position" not in name


def _token_axis(tensor: Tensor) -> int | None:
    """The axis of tokens: in (b, t, ...), (t, b, ...) as XLNet has it, (s, b, t, ...) as Gemma 3n, or (b t, d)."""
    if tensor.ndim == 2 and tensor.shape[0] == ROWS * WIDTH:
        return 0
    for axis in range(min(tensor.ndim - 2, 2)):
        here = tuple(tensor.shape[axis : axis + 2])
        if here in ((ROWS, WIDTH), (WIDTH, ROWS)):
            return axis + 1 if here[0] == ROWS else axis
    return None


def _by_token(tensor: Tensor, axis: int) -> Tensor:
    """(t, ...): a view, tokens first."""
    if tensor.ndim == 2:
        return tensor.view(ROWS, WIDTH, -1).transpose(0, 1)
    return tensor.movedim(axis, 0)


def _first_token(tensor: Tensor, axis: int) -> Tensor:
    return _by_token(tensor, axis)[0]


def _copied(value: Any) -> Any:
    """The same with copies of its tensors; what is no tensor, tuple, list or plain dict is shared."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if type(value) in (tuple, list):
        return type(value)(_copied(entry) for entry in value)
    return {k: _copied(v) for k, v in value.items()} if type(value) is dict else value
