"""The plugin manager: lazy, isolated, loud about collisions and misspellings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.registry.conftest import Plugin
from zu_framework import ConfigError, PluginError, SolverSpec, UnknownName
from zu_framework.config import options_from
from zu_framework.registry import Registered, Registry, load_plugins
from zu_framework.testing import Shape, edit_problem

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


@pytest.mark.parametrize("foreign", ["aa_theirs", "zz_theirs"])
def test_where_a_foreign_plugin_takes_a_shipped_name_the_foreign_one_is_to_go(foreign: str) -> None:
    registry = Registry()
    registry.add(Registered(SolverSpec("memit", "a:b", ""), "zu_closed_form", "zu-framework", "1"))
    registry.add(Registered(SolverSpec("memit", "a:b", ""), foreign, "theirs", "1"))
    with pytest.raises(PluginError, match=rf"'zu_closed_form' and '{foreign}'; .*ZU_DISABLE={foreign}$"):
        registry.get("solver", "memit")


def test_a_name_that_one_plugin_offers_twice_says_so() -> None:
    registry = Registry()
    for _ in range(2):
        registry.add(Registered(SolverSpec("mine", "a:b", ""), "zz_mine"))
    with pytest.raises(PluginError, match="registered twice by 'zz_mine'"):
        registry.get("solver", "mine")


class Installed(EntryPoint):
    """An entry point of a distribution."""

    dist: Distribution | None

    def __init__(self, name: str, value: str, dist: Distribution) -> None:
        vars(self).update(name=name, value=value, group="zu_framework", dist=dist)


def test_of_two_plugins_of_one_name_the_shipped_one_stays(plugin: Plugin, tmp_path: Path) -> None:
    def distribution(name: str) -> Distribution:
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        return PathDistribution(about)

    plugin("zz_theirs", SOLVER.format(name="theirs", target="a:b"))
    plugin("zz_ours", SOLVER.format(name="ours", target="a:b"))
    points = [
        Installed("zu_same", "zz_theirs", distribution("theirs")),
        Installed("zu_same", "zz_ours", distribution("zu_framework")),
    ]
    found = load_plugins(points, "")
    assert found.registry.names("solver") == ["ours"]
    assert "the one of theirs is left out" in found.registry.failures["zu_same"].error


def test_a_module_of_a_notebook_is_a_plugin_beside_the_installed_ones() -> None:
    notebook = types.ModuleType("zz_notebook")
    source = SOLVER.format(name="noted", target="zz_notebook:solve") + "\n".join(
        [
            "",
            "from zu_framework import Update",
            "def solve(problem, options):",
            "    return Update(dense=options.strength * problem.weight)",
        ]
    )
    sys.modules["zz_notebook"] = notebook
    try:
        exec(source, vars(notebook))
        plugins = zu.plugins(extra=[notebook])
        problem = edit_problem(Shape())
        update = zu.solve("noted", problem, plugins=plugins, strength=0.5)
        assert torch.equal(update.delta(problem.weight), 0.5 * problem.weight)
        assert "memit" in plugins.registry.names("solver")
        assert zu.plugins() is not zu.plugins() and "noted" not in zu.plugins().registry.names("solver")
    finally:
        del sys.modules["zz_notebook"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def zu_register_solvers(register): pass", "not marked with @hookimpl"),
        (
            "from zu_framework import hookimpl\n@hookimpl\ndef zu_register_solvers(register): 1 / 0",
            "ZeroDivisionError",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_told_at_once(source: str, said: str) -> None:
    notebook = types.ModuleType("zz_notebook")
    exec(source, vars(notebook))
    with pytest.raises(PluginError, match=f"plugin 'zz_notebook' cannot be used: .*{said}"):
        zu.plugins(extra=[notebook])


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
        ("raise SystemExit('gone')", "SystemExit: gone"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        (
            "class Mute(Exception):\n    def __str__(self): raise RuntimeError('no words')\nraise Mute",
            "Mute: its message raises RuntimeError",
        ),
        (
            "from zu_framework import hookimpl\n@hookimpl\ndef zu_register_solvers(register): raise SystemExit(4)",
            "SystemExit: 4",
        ),
        (
            "from zu_framework import hookimpl, SolverSpec\n@hookimpl\ndef zu_register_solvers(register):\n"
            "    register(SolverSpec('s', target='a:b', summary=3))",
            "its summary is a int",
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


def test_ctrl_c_while_a_plugin_is_imported_is_the_users(plugin: Plugin) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_plugins([plugin("zz_slow", "raise KeyboardInterrupt")], "")


def test_an_implementation_that_leaves_is_its_plugins_failure(plugin: Plugin) -> None:
    point = plugin("zz_leaving", SOLVER.format(name="leaving", target="zz_gone:solve"))
    plugin("zz_gone", "raise SystemExit(3)")
    with pytest.raises(
        PluginError, match=r"'leaving' of plugin 'zz_leaving' cannot be imported.*SystemExit: 3"
    ):
        load_plugins([point], "").registry.get("solver", "leaving").load()


def test_what_a_plugin_prints_does_not_mix_with_an_answer(
    plugin: Plugin, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "print('hello')\n"
        + SOLVER.format(name="loud", target="zz_louder:solve")
        + "    print('registered')\n"
    )
    plugin("zz_louder", "print('loaded')\ndef solve(problem, options): ...")
    load_plugins([plugin("zz_loud", source)], "").registry.get("solver", "loud").load()
    told = capsys.readouterr()
    assert told.out == "" and told.err == "hello\nregistered\nloaded\n"


def test_the_listing_stays_json_when_a_plugin_prints(tmp_path: Path) -> None:
    """Installed as a stranger's plugin is, by the metadata that pip leaves."""
    (tmp_path / "zz_loud.py").write_text("print('hello')\nraise SystemExit('and bye')")
    about = tmp_path / "zz_loud-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: zz-loud\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[zu_framework]\nzz_loud = zz_loud\n")
    done = subprocess.run(
        [sys.executable, "-m", "zu_framework", "plugins", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    listed = json.loads(done.stdout)
    assert [failed["plugin"] for failed in listed["failed"]] == ["zz_loud"]
    assert listed["failed"][0]["error"] == "SystemExit: and bye" and "hello" in done.stderr
    assert {"zerounlearn", "memit"} <= {entry["name"] for entry in listed["components"]}


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
        "import sys\nfrom zu_framework.cli.listing import describe\nfrom zu_framework.cli.terminal import json_text\n"
        "from zu_framework.registry.manager import load_plugins\nprint(json_text(describe(load_plugins())))\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"zerounlearn-local"' in done.stdout
    assert '"failed": []' in done.stdout


def test_a_package_of_an_extra_that_is_missing_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run says so before it would load a model."""
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "zu_plugins.metrics.harness", raising=False)
    with pytest.raises(PluginError, match=r"pip install 'zu-framework\[lm-eval\]'"):
        load_plugins().registry.get("metric", "lm_eval").load()
    monkeypatch.setattr("zu_framework.engine.run.load_model", None)
    with pytest.raises(PluginError, match=r"pip install 'zu-framework\[lm-eval\]'"):
        zu.run("demo", ["evaluate.metrics=[lm_eval]", f"output.folder={tmp_path}"], plugins=load_plugins())
    assert list(tmp_path.iterdir()) == []
