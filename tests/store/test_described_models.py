"""A model that a plugin describes is edited, and its edit put on and taken off like any other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from tests.store.edits import contents, differing
from zu_framework import Architecture, hookimpl
from zu_framework.registry.manager import Plugins, load_plugins


class Describes:
    """The core's search is said to fail; this plugin knows the model."""

    @hookimpl
    def zu_architecture(self, model_type: str, model: Any) -> Architecture | None:
        names = {layer: f"model.layers.{layer}.mlp.down_proj" for layer in range(3)}
        return Architecture("model.layers", names, "model.norm", "lm_head") if model_type == "llama" else None


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    def unknown(model: Any) -> Architecture:
        raise zu.ModelError("the core does not find its layers")

    monkeypatch.setattr("zu_framework.models.language_model.find_architecture", unknown)
    found = load_plugins()
    found.manager.register(Describes())
    return found


def test_its_edit_is_put_on_and_taken_off(
    settings: dict[str, Any], checkpoint: Path, tmp_path: Path, plugins: Plugins
) -> None:
    settings["output"]["model"] = True
    with pytest.raises(zu.ModelError, match="the core does not find"):
        zu.run(settings)
    run = zu.run(settings, plugins=plugins).folder
    zu.apply(run, checkpoint, tmp_path / "edited", plugins=plugins)
    assert contents(run / "model") == contents(tmp_path / "edited")
    assert len(differing(checkpoint, tmp_path / "edited")) == 2
    assert zu.revert(run, tmp_path / "edited", tmp_path / "back") == []
    assert contents(tmp_path / "back") == contents(checkpoint)
