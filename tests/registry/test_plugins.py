"""The plugin manager: lazy, isolated, loud about collisions and misspellings."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from zu_framework import ConfigError, PluginError, UnknownName
from zu_framework.config import options_from
from zu_framework.registry.manager import load_plugins

Plugin = Callable[[str, str], EntryPoint]

SOLVER = """
from dataclasses import dataclass
from zu_framework import SolverSpec, hookimpl

@dataclass
class Options:
    strength: float = 1.0

@hookimpl
def zu_register_solvers(register):
    register(SolverSpec("{name}", target="{target}", summary="a solver", options=Options))
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Write a module and answer its entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str) -> EntryPoint:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, name, raising=False)  # another test's module of that name
        return EntryPoint(name, name, "zu_framework")

    return make


def test_a_registered_solver_is_found_and_imported_only_when_used(plugin: Plugin) -> None:
    found = load_plugins([plugin("zz_lazy", SOLVER.format(name="lazy", target="zz_absent:solve"))], "")
    assert found.registry.names("solver") == ["lazy"]
    with pytest.raises(PluginError, match=r"'lazy' of plugin 'zz_lazy'.*ZU_DISABLE=zz_lazy"):
        found.registry.get("solver", "lazy").load()


def test_two_plugins_with_one_name_belong_to_neither(plugin: Plugin) -> None:
    points = [plugin(p, SOLVER.format(name="same", target="os:getcwd")) for p in ("zz_one", "zz_two")]
    found = load_plugins(points, "")
    with pytest.raises(PluginError, match=r"'zz_one' and 'zz_two'.*ZU_DISABLE=zz_two"):
        found.registry.get("solver", "same")
    assert "offered by" in found.registry.collisions()[0]
    assert load_plugins(points, "zz_two").registry.get("solver", "same").plugin == "zz_one"


def test_the_order_of_plugins_decides_nothing(plugin: Plugin) -> None:
    points = [plugin(f"zz_p{i}", SOLVER.format(name=f"s{i}", target="os:getcwd")) for i in range(3)]
    listings = [
        [(r.spec.name, r.plugin) for r in load_plugins(order, "").registry]
        for order in (points, points[::-1])
    ]
    assert listings[0] == listings[1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise RuntimeError('on import')", "RuntimeError: on import"),
        ("def broken(:", "SyntaxError"),
        (
            "from zu_framework import hookimpl\n@hookimpl\ndef zu_register_solver(register): pass",
            "zu_register_solver",
        ),
        ("def zu_register_solvers(register): pass", "not marked with @hookimpl"),
        (
            "from zu_framework import hookimpl\n@hookimpl\ndef zu_register_solvers(register): raise ValueError('late')",
            "ValueError: late",
        ),
        (
            "from zu_framework import hookimpl\n@hookimpl\ndef zu_register_solvers(register): register('mine')",
            "which is no spec",
        ),
        (
            "from zu_framework import hookimpl, SolverSpec\n@hookimpl\ndef zu_register_solvers(register):\n"
            "    register(SolverSpec('s', target='no_colon', summary=''))",
            "target 'module:attribute'",
        ),
    ],
)
def test_a_broken_plugin_disables_only_itself(plugin: Plugin, source: str, said: str) -> None:
    good = plugin("zz_good", SOLVER.format(name="good", target="os:getcwd"))
    found = load_plugins([plugin("zz_broken", source), good], "")
    assert found.registry.names("solver") == ["good"]
    failure = found.registry.failures["zz_broken"]
    assert said in failure.error
    assert "Traceback" in failure.traceback
    with pytest.raises(UnknownName, match="plugin 'zz_broken' failed to load"):
        found.registry.get("solver", "anything")


def test_what_a_plugin_registered_before_it_broke_is_forgotten(plugin: Plugin) -> None:
    source = SOLVER.format(name="half", target="os:getcwd") + "    raise ValueError('then this')\n"
    assert load_plugins([plugin("zz_half", source)], "").registry.names("solver") == []


def test_an_unknown_name_is_met_with_close_ones(plugin: Plugin) -> None:
    found = load_plugins([plugin("zz_close", SOLVER.format(name="zerounlearn", target="os:getcwd"))], "")
    with pytest.raises(
        UnknownName, match=r"unknown solver 'zerounlern': did you mean 'zerounlearn'\?.*zu plugins"
    ):
        found.registry.get("solver", "zerounlern")


def test_disabling_a_plugin_that_is_not_there_is_an_error(plugin: Plugin) -> None:
    point = plugin("zz_there", SOLVER.format(name="s", target="os:getcwd"))
    assert load_plugins([point], "zz_there").registry.names("solver") == []
    with pytest.raises(UnknownName, match="did you mean 'zz_there'"):
        load_plugins([point], "zz_ther")


def test_options_are_typed_by_the_dataclass_of_the_component(plugin: Plugin) -> None:
    found = load_plugins([plugin("zz_options", SOLVER.format(name="s", target="os:getcwd"))], "")
    spec = found.registry.get("solver", "s").spec
    assert options_from(spec, {"strength": 2}, where="solver").strength == 2.0
    with pytest.raises(ConfigError, match=r"'solver\.strenght': did you mean 'strength'"):
        options_from(spec, {"strenght": 2}, where="solver")
    with pytest.raises(ConfigError, match=r"'solver\.strength' cannot be 'much'"):
        options_from(spec, {"strength": "much"}, where="solver")


def test_listing_the_installed_plugins_imports_no_torch() -> None:
    code = (
        "import sys\nfrom zu_framework.cli.listing import plugins_json\n"
        "from zu_framework.registry.manager import load_plugins\nprint(plugins_json(load_plugins()))\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"zerounlearn-local"' in done.stdout
    assert '"failed": []' in done.stdout
