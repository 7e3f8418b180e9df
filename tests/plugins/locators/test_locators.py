"""Where to edit: the layers given, or those published for a model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zu_framework import ConfigError, ModelError, NoOptions, RunContext, Site
from zu_framework.testing import tiny_model
from zu_plugins.locators.locators import PRESETS, fixed, preset
from zu_plugins.locators.options import FixedOptions


def test_fixed_gives_the_sites_shallowest_first() -> None:
    sites = fixed(tiny_model("llama"), [], FixedOptions([2, 0]), RunContext())
    assert [site.module for site in sites] == ["model.layers.0.mlp.down_proj", "model.layers.2.mlp.down_proj"]


def test_fixed_without_layers_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"locator.layers is empty: give layers of 0 to 2"):
        fixed(tiny_model("llama"), [], FixedOptions(), RunContext())


def test_a_layer_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a layer twice"):
        FixedOptions([1, 1])


def test_a_layer_of_experts_is_refused() -> None:
    with pytest.raises(ModelError, match="routes tokens to experts"):
        fixed(tiny_model("qwen3_moe"), [], FixedOptions([1]), RunContext())


@pytest.mark.parametrize(
    ("model_type", "hidden", "layers", "expected"),
    [
        ("llama", 3072, 28, [16, 17, 18]),  # Llama-3.2-3B
        ("llama", 4096, 32, [19, 20, 21]),  # Llama-3.1-8B
        ("qwen3", 2560, 36, [9, 10, 11]),  # Qwen3-4B
    ],
)
def test_preset_gives_the_published_layers(
    model_type: str, hidden: int, layers: int, expected: list[int]
) -> None:
    config = SimpleNamespace(hidden_size=hidden, num_hidden_layers=layers, model_type=model_type)
    config.get_text_config = lambda: config
    lm = SimpleNamespace(
        model_type=model_type,
        num_layers=layers,
        model=SimpleNamespace(config=config),
        site=lambda layer: Site(f"model.layers.{layer}.mlp.down_proj", layer, f"model.layers.{layer}"),
    )
    assert [site.layer for site in preset(lm, [], NoOptions(), RunContext())] == expected  # type: ignore[arg-type]


def test_preset_refuses_a_model_that_it_does_not_know() -> None:
    with pytest.raises(ConfigError) as refused:
        preset(tiny_model("llama"), [], NoOptions(), RunContext())
    for known in PRESETS:
        assert known.model in str(refused.value)
    assert "locator.name=fixed" in str(refused.value)
