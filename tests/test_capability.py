"""The core asks for capability, never for names: what a plugin offers is found by what its registration declares."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import zu_framework as zu
from zu_framework import MetricSpec
from zu_framework.config import load_config, ready_made
from zu_framework.registry import Registered, installed_plugins, load_plugins

CORE = Path(zu.__file__).parent
# what tests plugins names some; the demo's world is one of their data sets
OUTSIDE = {"testing", "demo"}
KINDS = ("locator", "collector", "target", "solver", "metric")
# words of the core's own as well: a device, and a part of an audit's answer
WORDS = {"auto", "retained"}


def named(text: str, names: frozenset[str]) -> Iterator[str]:
    """Strings of a module that are the name of a component."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and node.value in names:
            yield f"line {node.lineno}: {node.value!r}"


def test_no_component_is_asked_for_by_name() -> None:
    registry = installed_plugins().registry
    names = frozenset(name for kind in KINDS for name in registry.names(kind))
    assert {"zerounlearn", "perplexity", "prompt-last"} <= names
    # a ready-made config may be called as its solver is
    looked_for = names - WORDS - set(ready_made())
    files = [p for p in CORE.rglob("*.py") if p.relative_to(CORE).parts[0] not in OUTSIDE]
    assert len(files) > 150
    found = {path.name: list(named(path.read_text("utf-8"), looked_for)) for path in files}
    assert not {name: hits for name, hits in found.items() if hits}


def test_the_check_sees_a_name() -> None:
    assert list(named("if metric.name == 'perplexity': pass", frozenset({"perplexity"})))
    assert not list(named('"""Of perplexity."""', frozenset({"perplexity"})))


def test_what_is_measured_by_default_is_what_registrations_say() -> None:
    shipped = load_config("zerounlearn").evaluate.metrics
    assert shipped[0] == "efficacy" and shipped[-1] == "perplexity" and "multi_hop" not in shipped
    plugins = load_plugins()
    plugins.registry.add(Registered(MetricSpec("mine", "here:it", "", default_order=15), "zz_mine"))
    assert load_config("zerounlearn", plugins=plugins).evaluate.metrics == [
        *shipped[:1],
        "mine",
        *shipped[1:],
    ]
    assert load_config("zerounlearn", ["evaluate.metrics=[]"], plugins=plugins).evaluate.metrics == []
    again = load_config(load_config("zerounlearn"), ["evaluate.text_label=t"], plugins=plugins)
    assert again.evaluate.metrics[1] == "mine", "a default is no choice"
