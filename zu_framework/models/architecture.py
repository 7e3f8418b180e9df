"""Where a decoder keeps its layers, projections, final norm and head: found by structure, checked by behaviour."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zu_framework.errors import ModelError
from zu_framework.problem import Architecture


def find_architecture(model: Any) -> Architecture:
    """The architecture of a causal decoder. Raises `ModelError` that names what was not found."""
    hidden = int(getattr(model.config.get_text_config(), "hidden_size", 0) or 0)
    layers_name, layers = _decoder_layers(model)
    head = model.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"model type {model.config.model_type!r} has no output head: not a causal language model"
        )
    names = {module: name for name, module in model.named_modules()}
    projections: dict[int, str] = {}
    refused: dict[int, str] = {}
    for index, layer in enumerate(layers):
        experts = [name for name, p in layer.named_parameters() if p.ndim == 3]
        if experts:
            refused[index] = (
                f"layer {index} routes tokens to experts ({experts[0]}, a 3-D parameter), which are no sites yet"
            )
            continue
        found = [
            name
            for name, module in layer.named_modules()
            if is_linear(module) and linear_shape(module)[0] == hidden and not _inside_attention(layer, name)
        ]
        if not found:
            raise ModelError(
                f"{layers_name}.{index}: no linear map onto the residual stream (size {hidden}) in its MLP"
            )
        projections[index] = f"{layers_name}.{index}.{found[-1]}"
    return Architecture(
        layers=layers_name,
        projections=projections,
        final_norm=_final_norm(model, layers_name, names),
        head=names.get(head, ""),
        scaled_branch={i: _scaled(model, f"{layers_name}.{i}", p) for i, p in projections.items()},
        refused=refused,
    )


def is_linear(module: nn.Module) -> bool:
    """nn.Linear, or transformers' Conv1D, which keeps its weight transposed."""
    return isinstance(module, nn.Linear) or transposed(module)


def transposed(module: nn.Module) -> bool:
    """Whether the weight is kept as (i, o)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def linear_shape(module: Any) -> tuple[int, int]:
    """(o, i)."""
    shape = tuple(module.weight.shape)
    return (shape[1], shape[0]) if transposed(module) else (shape[0], shape[1])


def _decoder_layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    lists = [
        (n, m)
        for n, m in model.named_modules()
        if isinstance(m, nn.ModuleList) and len(m) and n.count(".") <= 3
    ]
    if not lists:
        raise ModelError("the model has no list of decoder layers")
    return max(lists, key=lambda entry: sum(p.numel() for p in entry[1].parameters()))


def _inside_attention(layer: nn.Module, name: str) -> bool:
    parts = name.split(".")
    return any(
        "attention" in type(layer.get_submodule(".".join(parts[:depth]))).__name__.lower()
        for depth in range(1, len(parts))
    )


def _final_norm(model: nn.Module, layers_name: str, names: dict[nn.Module, str]) -> str:
    """The norm beside the list of layers: the sibling defined last whose class or name says norm."""
    parent = model.get_submodule(layers_name.rpartition(".")[0])
    found = [
        m for n, m in parent.named_children() if "norm" in type(m).__name__.lower() or "norm" in n.lower()
    ]
    return names[found[-1]] if found else ""


def _scaled(model: Any, block: str, projection: str) -> bool:
    """Whether adding d to the projection's output adds something else than d to the block's output."""
    layer, module = model.get_submodule(block), model.get_submodule(projection)
    seen: list[torch.Tensor] = []
    ids = torch.tensor([[1, 2]], device=model.device)
    added = torch.randn(linear_shape(module)[0], generator=torch.Generator().manual_seed(0)).to(
        model.device, model.dtype
    )

    def run(extra: torch.Tensor | None) -> torch.Tensor:
        hooks = [layer.register_forward_hook(lambda m, a, out: seen.append(first(out).detach().double()))]
        if extra is not None:
            hooks.append(module.register_forward_hook(lambda m, a, out: out + extra))
        try:
            with torch.no_grad():
                model(ids, use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return seen.pop()[0, -1]

    moved = run(added) - run(None)
    expected = added.double()
    return float((moved - expected).norm()) > 2e-2 * float(expected.norm())


def first(output: Any) -> torch.Tensor:
    """A module's hidden states: its output, or the first of it."""
    tensor: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return tensor
