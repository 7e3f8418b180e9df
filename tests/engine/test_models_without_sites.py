"""Models and layers without a dense MLP: refused before weights are loaded where modules tell, else before work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import LanguageModel, LocatorSpec, ModelError, Request, RunContext, Site
from zu_framework.engine import run as running
from zu_framework.models import outline
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, load_plugins
from zu_framework.testing import NO_SITES, tiny_model

Settings = dict[str, Any]

LOCATORS = {
    "fixed": {"name": "fixed", "layers": [1]},
    "auto": {"name": "auto"},
    "causal-trace": {"name": "causal-trace"},
    "attribution": {"name": "attribution"},
}
NOWHERE = (
    "no layer of this model has a dense MLP: load a model that has, or name other linear maps by a locator"
)


def on(settings: Settings, family: str, folder: Path) -> Settings:
    tiny_model(family).save(folder / family)
    return {**settings, "model": {**settings["model"], "path": str(folder / family)}}


def refusal(door: Any, settings: Settings, **named: Any) -> str:
    with pytest.raises(ModelError) as refused:
        door(settings, **named)
    assert refused.value.exit_code == 2
    return str(refused.value)


@pytest.mark.parametrize("family", NO_SITES)
def test_a_model_without_mlps_is_refused_before_its_weights_are_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    settings = on(settings, family, tmp_path)
    with pytest.raises(ModelError) as at_the_site:
        LanguageModel.from_pretrained(settings["model"]["path"]).site(0)

    def load(*_: Any, **__: Any) -> LanguageModel:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(running, "load_model", load)
    for locator in LOCATORS.values():
        told = {refusal(door, {**settings, "locator": locator}) for door in (zu.check, zu.run)}
        assert len(told) == 1 and NOWHERE in told.pop()
    assert refusal(zu.check, {**settings, "locator": LOCATORS["auto"]}) == str(at_the_site.value)


def test_a_layer_of_experts_is_refused_and_its_dense_neighbours_are_named(
    settings: Settings, tmp_path: Path
) -> None:
    settings = on(settings, "qwen3_moe", tmp_path)
    said = refusal(zu.check, {**settings, "locator": LOCATORS["fixed"]})
    assert said.startswith("layer 1 routes tokens to experts") and "choose among layers [0, 2]" in said
    zu.check({**settings, "locator": {"name": "fixed", "layers": [0, 2]}})
    zu.check({**settings, "locator": LOCATORS["auto"]})


@pytest.mark.parametrize("locator", LOCATORS)
def test_what_only_the_loaded_model_tells_is_said_before_text_is_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locator: str
) -> None:
    monkeypatch.setattr(outline, "_refused", lambda *_: {})  # as of a family whose modules do not tell
    settings = {**on(settings, "mamba", tmp_path), "locator": LOCATORS[locator]}
    settings["background"] = {"name": "self"}
    zu.check(settings)
    phases: list[str] = []
    said = refusal(zu.run, settings, progress=lambda label, done, total: phases.append(label))
    assert NOWHERE in said and phases == ["load"]


@dataclass
class Bare:
    """Options of a locator that has none."""


def mixers(lm: LanguageModel, requests: Sequence[Request], options: Bare, context: RunContext) -> list[Site]:
    block = f"{lm.architecture.layers}.1"
    return [Site(f"{block}.mixer.out_proj", 1, block)]


def with_mixers() -> Plugins:
    plugins = load_plugins()

    class Here(Registered):
        def load(self, target: str = "") -> Any:
            return mixers

    plugins.registry.add(Here(LocatorSpec("mixers", "here:mixers", "of a test", Bare), "here"))
    return plugins


def test_a_locator_of_ones_own_names_other_linear_maps(settings: Settings, tmp_path: Path) -> None:
    settings = {**on(settings, "mamba", tmp_path), "locator": {"name": "mixers"}}
    settings |= {"solver": {"name": "ga", "steps": 1}, "evaluate": {"metrics": []}}
    plugins = with_mixers()
    zu.check(settings, plugins=plugins)
    result = zu.run(settings, plugins=plugins)
    assert [edited.site.module for edited in result.edit.sites] == ["backbone.layers.1.mixer.out_proj"]


def test_a_plugin_that_describes_models_is_heard_first(settings: Settings, tmp_path: Path) -> None:
    class Describes:
        @zu.hookimpl
        def zu_architecture(self, model_type: str, model: Any) -> zu.Architecture | None:
            return None

    settings = {**on(settings, "mamba", tmp_path), "locator": LOCATORS["fixed"]}
    zu.check(settings, plugins=load_plugins(extra=[Describes()]))
    assert NOWHERE in refusal(zu.run, settings, plugins=load_plugins(extra=[Describes()]))
