"""Where a decoder keeps its layers, projections, final norm and head: found by structure, checked by behaviour."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from zu_framework.errors import ModelError
from zu_framework.models.modules import first, with_first
from zu_framework.models.outline import DEPTH
from zu_framework.models.probing import Call, mixes_tokens, noise_like, recorded, run_tokens
from zu_framework.models.projections import NoProjection, output_projection
from zu_framework.problem import Architecture

TWO_WAYS = {torch.float64: 1e-6, torch.float32: 1e-4}  # relative; in half precision: HALF
HALF = 2e-2


def find_architecture(model: Any) -> Architecture:
    """Return where a causal decoder keeps its parts.

    Three short forward passes: one shows which modules run, and that no token looks ahead; parts of layers are run
    again on what they were given; the last tells whether a norm or a factor stands behind a projection.

    Args:
        model: A transformers model with a head over the vocabulary, in evaluation mode; left as it was.

    Returns:
        The architecture; a layer without a dense MLP has an entry in `refused` that says why.

    Raises:
        ModelError: The model is no causal language model, its forward pass fails, or it has no list of layers that
            each run once.
    """
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"model type {model.config.model_type!r} has no output head: not a causal language model"
        )
    names = {module: name for name, module in model.named_modules()}
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and name.count(".") < DEPTH
    }
    entries = {
        f"{name}.{i}": entry for name, module in lists.items() for i, entry in enumerate(module.children())
    }
    norms = {name: m for name, m in model.named_modules() if _is_norm(name, m)}
    with recorded({**entries, **norms}) as calls:
        logits = run_tokens(model).logits
    _check_causal(model, logits)
    layers_name = _decoder_layers(model, lists, calls)
    blocks = {i: f"{layers_name}.{i}" for i in range(len(lists[layers_name]))}
    given = {i: calls[block][0] for i, block in blocks.items()}
    if not any(mixes_tokens(entries[block], given[i]) for i, block in blocks.items()):
        # as XLM's list of feed-forward nets; ProphetNet's layers see several streams as one
        raise ModelError(
            f"model type {model.config.model_type!r}: {layers_name} is no list of whole layers (none mixes tokens one "
            "by one); describe the model by a plugin's `zu_architecture`"
        )
    projections, refused = _projections(model, blocks, given)
    return Architecture(
        layers=layers_name,
        projections=projections,
        final_norm=_final_norm(layers_name, calls),
        head=names.get(head, ""),
        scaled_branch=_scaled(model, blocks, given, projections),
        refused=refused,
    )


def _check_causal(model: Any, logits: Tensor) -> None:
    """Raise `ModelError` where the last token, the only one that differs, changes what is said before it."""
    before = logits[:, :-1].double()
    apart = float((before[0] - before[1]).norm())
    if not apart <= TWO_WAYS.get(logits.dtype, HALF) * float(before[0].norm()):
        finite = bool(logits.isfinite().all())
        raise ModelError(
            f"model type {model.config.model_type!r} is no causal language model: a later token changes what it says "
            "of an earlier one (an encoder reads both ways); load a decoder"
            if finite
            else f"model type {model.config.model_type!r} returns logits that are not finite: its weights are damaged, "
            "or too large for its dtype (try model.dtype=float32)"
        )


def _decoder_layers(model: Any, lists: dict[str, nn.ModuleList], calls: dict[str, list[Call]]) -> str:
    """The largest list whose entries all run for a text: a vision tower's do not."""
    running = [
        name for name, module in lists.items() if all(f"{name}.{i}" in calls for i in range(len(module)))
    ]
    if not running:
        raise ModelError(
            f"model type {model.config.model_type!r} has no list of decoder layers that run for a text"
        )
    found = max(running, key=lambda name: sum(p.numel() for p in lists[name].parameters()))
    times = max(len(calls[f"{found}.{i}"]) for i in range(len(lists[found])))
    if times > 1:
        raise ModelError(
            f"model type {model.config.model_type!r} runs the layers of {found} {times} times in a forward pass: an "
            "edit would act each time, which no method here reckons with"
        )
    return found


def _projections(
    model: Any, blocks: dict[int, str], given: dict[int, Call]
) -> tuple[dict[int, str], dict[int, str]]:
    """Layer -> name of its MLP output projection, and layer -> why it has none."""
    projections: dict[int, str] = {}
    refused: dict[int, str] = {}
    for index, block in blocks.items():
        try:
            found = output_projection(model.get_submodule(block), given[index])
        except NoProjection as why:
            refused[index] = f"layer {index} {why}"
        else:
            projections[index] = f"{block}.{found}"
    owners: dict[int, list[int]] = {}
    for index, name in projections.items():
        owners.setdefault(model.get_submodule(name).weight.data_ptr(), []).append(index)
    for shared in owners.values():
        for index in shared if len(shared) > 1 else ():
            del projections[index]
            refused[index] = (
                f"layer {index} shares its MLP with layers {shared}: an edit would change them all"
            )
    return projections, dict(sorted(refused.items()))


def _is_norm(name: str, module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or "norm" in name.rpartition(".")[2].lower()


def _final_norm(layers_name: str, calls: dict[str, list[Call]]) -> str:
    """The norm beside the list of layers that starts after the last of them."""
    parent = layers_name.rpartition(".")[0]
    order = list(calls)
    last = max(i for i, name in enumerate(order) if name.startswith(f"{layers_name}."))
    return next((name for name in order[last + 1 :] if name.rpartition(".")[0] == parent), "")


def _scaled(
    model: Any, blocks: dict[int, str], given: dict[int, Call], projections: dict[int, str]
) -> dict[int, bool]:
    """Layer -> whether adding d to the projection's output adds something else than d to the layer's output.

    One pass: row r is moved at the r-th projection, the last row nowhere.
    """
    if not projections:
        return {}
    rows = len(projections) + 1
    left: dict[int, Tensor] = {}
    added: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for row, (index, name) in enumerate(projections.items()):

            def move(_: Any, __: Any, output: Any, row: int = row, index: int = index) -> Any:
                states = first(output)
                changed = states.clone()
                by_row = _by_row(changed, rows)
                # far from 1, which a norm would make of it, and large beside the states that it is added to
                added[index] = noise_like(by_row[row, 0]) * max(3.0, 2 * _size(given[index]))
                by_row[row] += added[index]
                return with_first(output, changed)

            def note(_: Any, __: Any, output: Any, index: int = index) -> None:
                left[index] = first(output).detach()

            stack.callback(model.get_submodule(name).register_forward_hook(move).remove)
            stack.callback(model.get_submodule(blocks[index]).register_forward_hook(note).remove)
        run_tokens(model, [[2, 3]] * rows)
    found: dict[int, bool] = {}
    for row, index in enumerate(projections):
        states, expected = left[index], added[index].double()
        if states.ndim != 3:  # several streams, as Gemma 3n has them
            found[index] = True
            continue
        by_row = _by_row(states, rows).double()
        moved = (by_row[row, -1] - by_row[-1, -1]).to(expected.device)
        found[index] = not float((moved - expected).norm()) <= HALF * float(expected.norm())
    return found


def _by_row(states: Tensor, rows: int) -> Tensor:
    """(b, t, d): a view, of states (b, t, d), (t, b, d) or, all tokens as one list, (b t, d)."""
    if states.ndim == 2:
        return states.view(rows, -1, states.shape[-1])
    return states if states.shape[0] == rows else states.transpose(0, 1)


def _size(call: Call) -> float:
    """The root mean square of the states that enter a layer."""
    states = next(v for v in (*call.arguments, *call.named.values()) if isinstance(v, Tensor))
    return float(states.double().square().mean().sqrt())
