"""Which linear map of a decoder layer is the output of its MLP: by name and structure, told apart by behaviour."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from zu_framework.models.modules import first, is_linear, linear_shape
from zu_framework.models.probing import Call, feeds, mixes_tokens, recorded

_MLP = re.compile(r"mlp|ffn|feed_?forward|^ff$", re.IGNORECASE)
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_EXPERTS = re.compile(r"(^|_)experts?($|_)", re.IGNORECASE)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class NoProjection(Exception):
    """A layer offers no MLP output projection; the message says why, beginning with a verb."""


@dataclass(frozen=True)
class _Part:
    """A child of a layer that ran. mixes: whether it mixes tokens; None where that could not be tried."""

    name: str
    module: nn.Module
    call: Call
    mixes: bool | None

    @property
    def is_mlp(self) -> bool:
        """Whether its name or its class says so."""
        return not is_linear(self.module) and self.says(_MLP)

    def says(self, pattern: re.Pattern[str]) -> bool:
        return _says(self.name, self.module, pattern)


@torch.no_grad()
def output_projection(layer: nn.Module, call: Call) -> str:
    """Return the name, inside a layer, of the linear map through which its MLP writes.

    The MLP is the child whose name or class says so and that treats each token alone; without such a child, a chain of
    linear maps that treat each token alone (OPT's `fc1`, `fc2`). Its output projection is the one map of its size that
    other maps of the MLP feed, and that feeds none. Convolutions, attention, state-space mixers and per-layer
    embeddings are thereby left out.

    Args:
        layer: A decoder layer.
        call: What it was called with on `probing.TOKENS`.

    Raises:
        NoProjection: There is none, there are several, or the layer routes tokens to experts.
    """
    hidden = first(call.run(layer)).shape[-1]
    parts = _parts_of(layer, call)
    for part in parts:
        experts = None if part.mixes else _experts(part.name, part.module, hidden)
        if experts:
            raise NoProjection(_routed(experts))
    named = [part for part in parts if part.is_mlp]
    alone = [part for part in named if not part.mixes]
    if named and not alone:
        raise NoProjection(_mixing(named[0].name, named[0].module))
    found: list[str] = []
    for part in alone:
        found += [
            f"{part.name}.{name}" for name in _tails(part.module, part.call, _linears(part.module), hidden)
        ]
    if alone and not found:
        kinds = ", ".join(f"{part.name} ({type(part.module).__name__})" for part in alone)
        raise NoProjection(f"has an MLP that writes through no linear map of width {hidden}: {kinds}")
    if not alone:
        found = _tails(layer, call, _loose(parts), hidden)
    if not found:
        raise NoProjection(_without_mlp({part.name: part.module for part in parts if part.mixes}))
    if len(found) > 1:
        raise NoProjection(
            f"has {len(found)} linear maps that may be its MLP's output ({', '.join(found)}): name one by a "
            "plugin's `zu_architecture`"
        )
    return found[0]


def known_refusal(layer: nn.Module, hidden: int) -> str:
    """Return why a layer offers no MLP output projection, where its modules alone tell, without weights or a call.

    Routed experts are known by their names and shapes, and what convolves or shifts tokens by its modules. Whatever
    else there is may be the MLP, which only behaviour shows.

    Args:
        layer: A decoder layer, on any device.
        hidden: The width of the residual stream.

    Returns:
        What `output_projection` would say; "" where it is not known.
    """
    children = {
        name: child
        for name, child in _children(layer).items()
        if is_linear(child) or _linears(child) or _experts(name, child, hidden)
    }
    mixing = {
        name for name, child in children.items() if _moves_tokens(child) or _says(name, child, _ATTENTION)
    }
    for name, child in children.items():
        experts = None if name in mixing else _experts(name, child, hidden)
        if experts:
            return _routed(experts)
    if not children.keys() <= mixing:
        return ""
    named = [name for name, child in children.items() if _says(name, child, _MLP)]
    return _mixing(named[0], children[named[0]]) if named else _without_mlp(children)


def _routed(experts: str) -> str:
    return f"routes tokens to experts ({experts}), which are no sites yet"


def _mixing(name: str, module: nn.Module) -> str:
    return f"has no MLP that treats each token alone: {name!r} ({type(module).__name__}) mixes tokens"


def _without_mlp(mixing: Mapping[str, nn.Module]) -> str:
    kinds = ", ".join(f"{name} ({type(module).__name__})" for name, module in mixing.items())
    return f"has no MLP: {f'only {kinds}' if kinds else 'no chain of linear maps'}"


def _says(name: str, module: nn.Module, pattern: re.Pattern[str]) -> bool:
    return bool(pattern.search(name) or pattern.search(type(module).__name__))


def _moves_tokens(module: nn.Module) -> bool:
    """Whether a module convolves or shifts what it gets, which are tokens: features are mixed by linear maps."""
    return any(isinstance(m, nn.ZeroPad2d) or _convolves(m) for m in module.modules())


def _convolves(module: nn.Module) -> bool:
    return isinstance(module, _CONVOLUTIONS) and max(module.kernel_size) > 1


def _children(layer: nn.Module) -> dict[str, nn.Module]:
    """The children of a layer by name, a list of modules as its entries."""
    children: dict[str, nn.Module] = {}
    for name, child in layer.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            children |= {f"{name}.{key}": entry for key, entry in child.named_children()}
        else:
            children[name] = child
    return children


def _parts_of(layer: nn.Module, call: Call) -> list[_Part]:
    """The children of a layer that ran, a list of modules as its entries."""
    children = _children(layer)
    with recorded(children) as calls:
        call.run(layer)
    return [
        _Part(name, children[name], first_call, mixes_tokens(children[name], first_call))
        for name, (first_call, *_) in calls.items()
    ]


def _linears(module: nn.Module) -> dict[str, nn.Module]:
    return {name: inner for name, inner in module.named_modules() if name and is_linear(inner)}


def _loose(parts: list[_Part]) -> dict[str, nn.Module]:
    """Linear maps of a layer outside attention and whatever else mixes tokens, where no child is an MLP."""
    found: dict[str, nn.Module] = {}
    for part in parts:
        if is_linear(part.module):
            found[part.name] = part.module
        elif part.mixes is False and not part.says(_ATTENTION):
            found |= {f"{part.name}.{name}": inner for name, inner in _linears(part.module).items()}
    return found


def _tails(whole: nn.Module, call: Call, linears: Mapping[str, nn.Module], hidden: int) -> list[str]:
    """Maps onto `hidden` that other maps feed, and that feed none."""
    fed_by = feeds(whole, call, linears)
    fed = set().union(*fed_by.values())
    return [
        name
        for name, others in fed_by.items()
        if not others and name in fed and linear_shape(linears[name])[0] == hidden
    ]


def _experts(part: str, whole: nn.Module, hidden: int) -> str | None:
    """The name of routed experts in a part of a layer."""
    for name, module in whole.named_modules(prefix=part):
        if _EXPERTS.search(name.rpartition(".")[2]):
            return str(name)
        if isinstance(module, nn.ModuleList | nn.ModuleDict) and len(module) > 1:
            writing = [
                any(linear_shape(m)[0] == hidden for m in entry.modules() if is_linear(m))
                for entry in module.children()
            ]
            if all(writing):
                return f"{name}, a list of {len(module)} modules"
        if not isinstance(module, _CONVOLUTIONS):
            for key, parameter in module.named_parameters(recurse=False):
                if parameter.ndim == 3 and parameter.shape[0] > 1:
                    return f"{name}.{key}, a 3-D parameter"
    return None
