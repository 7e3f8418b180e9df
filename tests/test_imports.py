"""Who may import what: plugins see public names only, and listing components imports no torch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ROOT / "plugins"
PUBLIC = {
    "zu_framework",
    "zu_framework.contracts",
    "zu_framework.data",
    "zu_framework.demo",
    "zu_framework.evaluation",
    "zu_framework.linalg",
    "zu_framework.models",
    "zu_framework.options",
    "zu_framework.reporting",
    "zu_framework.states",
}
OTHERS = {"zu_plugins", "zu_example"}
WEIGHTLESS = [
    "zu_framework",
    "zu_framework.errors",
    "zu_framework.contracts",
    "zu_framework.specs",
    "zu_framework.hookspecs",
]


def entry_points() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, str] = project["entry-points"]["zu_framework"]
    return found


def plugin_sources() -> list[Path]:
    return sorted(p for p in PLUGINS.rglob("*.py") if "tests" not in p.relative_to(PLUGINS).parts)


def exported(module: str) -> set[str]:
    """The names in a package's `__all__`, read without importing it."""
    path = ROOT.joinpath(*module.split("."), "__init__.py")
    if not path.exists():
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names)):
                return {ast.literal_eval(name) for name in names}
    raise AssertionError(f"{path} has no literal __all__")


def package_of(module: str) -> str:
    """The plugin that a module belongs to: a package of `zu_plugins`, or a distribution of its own."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "zu_plugins" else parts[0]


def violations(source: str, package: str) -> Iterator[str]:
    """What a module of the plugin `package` imports or reads that it must not."""
    tree = ast.parse(source)
    aliases: dict[str, str] = {}  # local name -> framework package it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                if top in OTHERS and package_of(alias.name) != package:
                    yield f"imports the plugin {package_of(alias.name)}"
                if top == "zu_framework":
                    if alias.name not in PUBLIC:
                        yield f"imports {alias.name}"
                    elif alias.asname or "." not in alias.name:
                        aliases[alias.asname or top] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            top = node.module.split(".")[0]
            if top in OTHERS and package_of(node.module) != package:
                yield f"imports the plugin {package_of(node.module)}"
            if top == "zu_framework":
                if node.module not in PUBLIC:
                    yield f"imports from {node.module}"
                    continue
                for alias in node.names:
                    if f"{node.module}.{alias.name}" in PUBLIC:
                        aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    elif alias.name not in exported(node.module):
                        yield f"imports {alias.name}, which {node.module} does not export"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            module = aliases[node.value.id]
            if f"{module}.{node.attr}" not in PUBLIC and node.attr not in exported(module):
                yield f"reads {module}.{node.attr}, which is not exported"


@pytest.mark.parametrize("path", plugin_sources(), ids=lambda p: p.relative_to(PLUGINS).as_posix())
def test_plugins_import_public_names_only(path: Path) -> None:
    package = package_of(".".join(path.relative_to(PLUGINS).parts))
    found = list(violations(path.read_text("utf-8"), package))
    assert not found, f"{path.relative_to(ROOT)}: {'; '.join(found)}"


@pytest.mark.parametrize(
    "source",
    [
        "from zu_framework.engine.run import run",
        "from zu_framework.specs import SolverSpec",
        "import zu_framework.problem",
        "import zu_framework as zu\nzu.engine",
        "from zu_framework import installed_plugins",
        "from zu_framework.models import _anything",
        "import zu_plugins.metrics",
        "from zu_plugins.metrics.plugin import zu_register_metrics",
    ],
)
def test_the_check_sees_what_is_forbidden(source: str) -> None:
    assert list(violations(source, "zu_plugins.datasets"))


def test_listing_components_imports_no_torch() -> None:
    modules = [*WEIGHTLESS, *entry_points().values()]
    script = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        "    heavy = {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "    if heavy:\n"
        "        print(json.dumps([name, sorted(heavy)])); break\n"
        "else:\n"
        "    print('null')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT / "plugins", timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is None, done.stdout
