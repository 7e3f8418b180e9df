"""`fixed` and `preset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zu_framework import ConfigError, LanguageModel, NoOptions, Request, RunContext, Site
from zu_framework.models import CheckpointInfo
from zu_plugins.locators.options import FixedOptions, TraceOptions


@dataclass(frozen=True)
class Preset:
    """Published layers of a model, which is known by its shape: a checkpoint's name can be anything."""

    model: str
    model_type: str
    hidden_size: int
    num_layers: int
    layers: tuple[int, ...]


# arXiv 2605.18879, the layers its experiments edit
PRESETS = (
    Preset("Llama-3.2-3B", "llama", 3072, 28, (16, 17, 18)),
    Preset("Llama-3.1-8B", "llama", 4096, 32, (19, 20, 21)),
    Preset("Qwen3-4B", "qwen3", 2560, 36, (9, 10, 11)),
)


def fixed(
    lm: LanguageModel, requests: Sequence[Request], options: FixedOptions, context: RunContext
) -> list[Site]:
    """Return the sites of the layers given.

    Raises:
        ConfigError: None is given, or one that the model has not.
    """
    check_fixed(options, CheckpointInfo.of_model(lm))
    return [lm.site(layer) for layer in sorted(options.layers)]


def check_fixed(options: FixedOptions, model: CheckpointInfo) -> None:
    """Check that layers are given, that the model has them, and that each may offer a site."""
    last = model.num_layers - 1
    if not options.layers:
        raise ConfigError(
            f"locator.layers is empty: give layers of 0 to {last}, for example 'locator.layers=[1,2]'"
        )
    for layer in options.layers:
        if not 0 <= layer <= last:
            raise ConfigError(
                f"locator.layers names layer {layer}; this {model.model_type} has layers 0 to {last}"
            )
        model.check_site(layer)


def check_found(options: object, model: CheckpointInfo) -> None:
    """Check, for a locator that looks for layers, that there may be some."""
    model.check_sites()


def check_traced(options: TraceOptions, model: CheckpointInfo) -> None:
    """Check that the model may have as many layers as are picked."""
    model.check_sites()
    offered = model.num_layers - len(model.refused)
    if options.width > offered:
        raise ConfigError(
            f"locator.width is {options.width}, but only {offered} layers of this {model.model_type} offer a site: "
            "lower it"
        )


def preset(
    lm: LanguageModel, requests: Sequence[Request], options: NoOptions, context: RunContext
) -> list[Site]:
    """Return the published sites of a known model.

    Raises:
        ConfigError: No layers are published for this one.
    """
    return [lm.site(layer) for layer in _published(CheckpointInfo.of(lm.model.config)).layers]


def check_preset(options: NoOptions, model: CheckpointInfo) -> None:
    """Check that layers are published for a model."""
    _published(model)


def _published(model: CheckpointInfo) -> Preset:
    shape = (model.model_type, model.hidden_size, model.num_layers)
    for known in PRESETS:
        if (known.model_type, known.hidden_size, known.num_layers) == shape:
            return known
    names = ", ".join(f"{p.model} (layers {p.layers[0]}-{p.layers[-1]})" for p in PRESETS)
    raise ConfigError(
        f"locator 'preset' knows no layers for this {shape[0]} of hidden size {shape[1]} with {shape[2]} layers; it "
        f"knows {names}. Choose layers yourself: locator.name=fixed 'locator.layers=[...]'"
    )
