"""`zu_architecture` through a real plugin manager: a model that only a plugin can describe, and plugins that fail."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from tests.registry.conftest import Plugin
from tests.store.edits import random_edit
from zu_framework import Architecture, LanguageModel
from zu_framework.registry import Plugins, architecture_finder, load_plugins
from zu_framework.testing import tiny_model

KNOWS = """
from zu_framework import Architecture, hookimpl

@hookimpl
def zu_architecture(model_type, model):
    if model_type == "gpt2":
        return Architecture("transformer.h", {0: "transformer.h.0.mlp.c_proj"}, "transformer.ln_f", "lm_head")
"""
KNOWS_LLAMA = """
from zu_framework import Architecture, hookimpl

@hookimpl
def zu_architecture(model_type, model):
    return Architecture("model.layers", {1: "model.layers.1.mlp.down_proj"}, "model.norm", "lm_head")
"""
RAISES = """
from zu_framework import SolverSpec, hookimpl

@hookimpl
def zu_register_solvers(register):
    register(SolverSpec("theirs", "a:b", ""))

@hookimpl(tryfirst=True)
def zu_architecture(model_type, model):
    %s
"""


def found(plugins: Plugins, family: str = "gpt2") -> Architecture | None:
    return architecture_finder(plugins)(tiny_model(family).model)


def test_the_plugin_that_knows_the_model_describes_it(plugin: Plugin) -> None:
    plugins = load_plugins([plugin("zz_knows", KNOWS)], "")
    described = found(plugins)
    assert described is not None and described.projections == {0: "transformer.h.0.mlp.c_proj"}
    assert found(plugins, "llama") is None, "a model that no plugin knows is left to the core's search"
    own = tiny_model("gpt2")
    lm = LanguageModel.wrap(own.model, own.tokenizer, described)
    assert lm.site(0).module == "transformer.h.0.mlp.c_proj"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no idea')", "RuntimeError: no idea"),
        ("raise SystemExit(5)", "SystemExit: 5"),
        ("return 'transformer.h'", "returned a str, expected an Architecture or None"),
    ],
)
def test_a_plugin_that_fails_is_disabled_alone_and_told(plugin: Plugin, body: str, said: str) -> None:
    plugins = load_plugins([plugin("zz_knows", KNOWS), plugin("zz_fails", RAISES % body)], "")
    assert plugins.registry.names("solver") == ["theirs"]
    with pytest.warns(
        UserWarning, match=f"plugin 'zz_fails' failed in zu_architecture and is disabled: .*{said}"
    ):
        assert found(plugins) is not None, "the next plugin is asked"
    assert said in plugins.registry.failures["zz_fails"].error
    assert plugins.registry.names("solver") == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(plugins) is not None, "it is not asked again"


def test_ctrl_c_in_a_hook_is_the_users(plugin: Plugin) -> None:
    plugins = load_plugins([plugin("zz_fails", RAISES % "raise KeyboardInterrupt")], "")
    with pytest.raises(KeyboardInterrupt):
        found(plugins)


def test_a_run_asks_the_plugins(plugin: Plugin, checkpoint: Any) -> None:
    """The door that every command uses for a checkpoint."""
    source = KNOWS
    for theirs, ours in {
        "gpt2": "llama",
        "transformer.h.0.mlp.c_proj": "model.layers.2.mlp.down_proj",
        "{0: ": "{2: ",
        "transformer.h": "model.layers",
        "transformer.ln_f": "model.norm",
    }.items():
        source = source.replace(theirs, ours)
    plugins = load_plugins([plugin("zz_knows", source)], "")
    lm = LanguageModel.from_pretrained(
        str(checkpoint), device="cpu", find_architecture=architecture_finder(plugins)
    )
    assert set(lm.architecture.projections) == {2}


def test_an_edit_is_put_on_a_gguf_file_that_a_plugin_describes(
    plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all checkpoints it alone is loaded to be edited: the others are edited in their files."""
    pytest.importorskip("gguf", reason="the extra gguf is not installed")
    from tests.models.gguf_files import write_gguf

    gguf = str(tmp_path / "tiny.gguf")
    write_gguf(tiny_model("llama"), Path(gguf))
    lm = LanguageModel.from_pretrained(gguf, device="cpu")
    run = random_edit(lm, [lm.site(1)], model=gguf).save(tmp_path / "run")

    def unknown(model: Any) -> Architecture:
        raise zu.ModelError("the core does not find its layers")

    monkeypatch.setattr("zu_framework.models.language_model.find_architecture", unknown)
    with pytest.raises(zu.ModelError, match="the core does not find its layers"):
        zu.apply(run, gguf, tmp_path / "edited")
    zu.apply(run, gguf, tmp_path / "edited", plugins=load_plugins([plugin("zz_knows", KNOWS_LLAMA)], ""))
    assert (tmp_path / "edited" / "config.json").is_file()
