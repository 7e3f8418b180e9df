"""The documentation says what the code does: references are complete, commands parse, code in tutorials runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from zu_framework.benches import load_bench
from zu_framework.cli.app import app
from zu_framework.config import load_config
from zu_framework.engine.session import resolve
from zu_framework.errors import UnknownName
from zu_framework.registry.manager import installed_plugins

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMPONENTS = list(installed_plugins().registry)


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_hook_is_in_the_reference(generated: ModuleType) -> None:
    page = generated.hooks_page()
    names = [name for name, _ in generated.hooks()]
    assert len(names) >= 10 and {"zu_register_solvers", "zu_architecture", "zu_site_solved"} <= set(names)
    for name, function in generated.hooks():
        assert f"## `{name}`" in page
        assert len(function.__doc__) > 60, f"{name}: its docstring is its contract"


def test_every_option_of_every_component_is_in_the_reference_and_explained(generated: ModuleType) -> None:
    page = generated.configuration_page()
    groups = {"dataset": "data"}
    for registered in COMPONENTS:
        spec = registered.spec
        if spec.kind == "report section":
            continue
        group = groups.get(spec.kind, spec.kind)
        assert f"### {group}: `{spec.name}`" in page
        if spec.kind == "metric":
            group = f"evaluate.options.{spec.name}"
        if spec.kind == "audit":
            group = f"audit.options.{spec.name}"
        for option in fields(spec.options):
            assert f"`{group}.{option.name}`" in page
            assert option.metadata.get("help"), f"{spec.kind} {spec.name}: option {option.name} has no help"


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for registered in COMPONENTS:
        if registered.spec.kind == "metric" and registered.plugin.startswith("zu_"):
            assert f"`{registered.spec.name}`" in page


def test_every_command_is_in_the_reference(generated: ModuleType) -> None:
    page = generated.cli_page()
    commands: Any = typer.main.get_command(app)
    for name, command in commands.commands.items():
        assert f"## `zu {name}`" in page
        for parameter in command.params:
            shown = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
            assert f"`{shown}" in page


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(
            r"```(?:bash|console)\n(.*?)```|((?:^    .*\n)+)", page.read_text("utf-8"), re.DOTALL | re.M
        ):
            for line in "".join(block).splitlines():
                line = line.strip().removeprefix("$ ").partition("  #")[0]
                if re.match(r"zu (run|check|bench) ", line):
                    found.append((page.relative_to(ROOT).as_posix(), line))
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_in_the_documents_are_well_formed(page: str, line: str) -> None:
    """Configs exist, keys exist, values have their type. Paths are the reader's own."""
    _, _, name, *overrides = shlex.split(line)
    if name.startswith("runs/"):
        return
    if line.startswith("zu bench"):
        overrides = [given for given in overrides if not given.startswith("--") and "=" in given]
        for cell in load_bench(name, ["seeds=1", *overrides]).cells if not name.endswith(".yaml") else ():
            resolve(cell.config, installed_plugins())
        return
    try:
        resolve(load_config(name, overrides), installed_plugins())
    except UnknownName as unknown:
        assert "ridge-remap" in str(unknown)  # the tutorial's plugin is installed by its own test


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 6


def test_other_commands_in_the_documents_exist() -> None:
    known: Any = typer.main.get_command(app)
    for page in PAGES:
        for name in re.findall(r"(?:^|[`\s])zu ([a-z]+)\b", page.read_text("utf-8"), re.M):
            if name in ("to", "and", "is"):
                continue
            assert name in known.commands, f"{page.name}: zu {name}"


@pytest.mark.slow
def test_the_quick_start_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "docs" / "snippets" / "quickstart.py").read_text("utf-8")
    scope: dict[str, Any] = {}
    exec(compile(code, "quickstart.py", "exec"), scope)
    assert (tmp_path / "my-edit" / "undo.safetensors").exists()
    assert scope["edit"].reverted


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"),
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    for page in (
        "reference/hooks",
        "reference/configuration",
        "reference/cli",
        "reference/api",
        "first-solver",
    ):
        html = (tmp_path / "site" / page / "index.html").read_text("utf-8")
        assert len(html) > 5000
    assert "RidgeRemapOptions" in (tmp_path / "site" / "first-solver" / "index.html").read_text("utf-8")
