"""`zu_architecture` through a real plugin manager: a model that only a plugin can describe, and plugins that fail."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.registry.conftest import Plugin
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
