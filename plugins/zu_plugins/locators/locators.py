"""`fixed` and `preset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zu_framework import ConfigError, LanguageModel, NoOptions, Request, RunContext, Site
from zu_plugins.locators.options import FixedOptions


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
    """The sites of the layers given. Raises `ConfigError` where none is, `ModelError` for one that is not there."""
    if not options.layers:
        raise ConfigError(
            f"locator.layers is empty: give layers of 0 to {lm.num_layers - 1}, for example 'locator.layers=[1,2]'"
        )
    return [lm.site(layer) for layer in sorted(options.layers)]


def preset(
    lm: LanguageModel, requests: Sequence[Request], options: NoOptions, context: RunContext
) -> list[Site]:
    """The published sites of a known model. Raises `ConfigError` for any other."""
    shape = (lm.model_type, lm.model.config.get_text_config().hidden_size, lm.num_layers)
    for known in PRESETS:
        if (known.model_type, known.hidden_size, known.num_layers) == shape:
            return [lm.site(layer) for layer in known.layers]
    names = ", ".join(f"{p.model} (layers {p.layers[0]}-{p.layers[-1]})" for p in PRESETS)
    raise ConfigError(
        f"locator 'preset' knows no layers for this {shape[0]} of hidden size {shape[1]} with {shape[2]} layers; it "
        f"knows {names}. Choose layers yourself: locator.name=fixed 'locator.layers=[...]'"
    )
