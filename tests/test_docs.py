"""The documentation says what the code does: references are complete, commands parse, code in tutorials runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from tests.test_imports import PUBLIC, exported
from zu_framework import hookspecs
from zu_framework.benches import load_bench
from zu_framework.cli.app import app
from zu_framework.config import load_config
from zu_framework.engine.evaluate import suite_config
from zu_framework.engine.session import resolve
from zu_framework.registry import Plugins, installed_plugins, load_plugins

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMPONENTS = list(installed_plugins().registry)
NUMERALS = {9: "nine", 10: "ten", 11: "eleven", 34: "thirty-four"}


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Written by hand, so that a page that is made of the code is not compared with itself.
HOOKS = [
    "`zu_register_locators(register)`",
    "`zu_register_collectors(register)`",
    "`zu_register_targets(register)`",
    "`zu_register_solvers(register)`",
    "`zu_register_backgrounds(register)`",
    "`zu_register_datasets(register)`",
    "`zu_register_metrics(register)`",
    "`zu_register_executors(register)`",
    "`zu_register_report_sections(register)`",
    "`zu_register_audits(register)`",
    "`zu_architecture(model_type, model)`",
    "`zu_observe_run(config, plugins)`",
    "`zu_site_solved(site, problem, update)`",
    "`zu_run_finished(result)`",
]
EXPECTED = {
    "hooks": [
        "Contract of the implementation: `zu_framework.contracts.Locator`.",
        "Describe a model whose structure the core does not find by itself; None for models you do not know.",
    ],
    "configuration": [
        "| `seed` | int | `0` | every random draw of a run follows from it |",
        "| `model.batch_size` | int | `64` | rows that one forward pass may hold |",
        "### data: `jsonl`",
        "### locator: `preset`\n\nThe published layers of Llama-3.2-3B, Llama-3.1-8B and Qwen3-4B.\n\nNo options.",
        "### solver: `memit`",
        "| `solver.background_weight` | float | `15000.0` | w: how much outputs on general text stay put |",
        "| `solver.relative_ridge` | float | `0.0` | added to the key moment's diagonal, in units of its mean",
        "### solver: `zerounlearn-local`",
        "| `solver.ridge` | float | `1.0` | how small the change of the weight stays |",
        "| `target.text` | str, or null | `null` | ",
        "| `target.rows_per_pass` | int, or null | `null` | ",
        "| `solver.requests_per_step` | int | `16` | requests of a mini-batch |",
        "| `data.forget` | a number, or all | `50` | ",
        "| `evaluate.options.mia_min_k.k` | float | `0.4` | ",
        "### executor: `local`",
        "### `two-stages`\n\n```yaml\n",
    ],
    "cli": [
        "## `zu run`",
        "    zu run CONFIG [KEY=VALUE]...",
        "    zu eval MODEL --suite NAME [KEY=VALUE]... [--base MODEL]",
        "    zu plugins [--json]",
        "| `--json` | Print JSON instead of tables. |",
        "    zu export RUN --lora DIR",
    ],
}


def test_the_hooks_page_has_the_hooks(generated: ModuleType) -> None:
    page = generated.hooks_page()
    assert [line for line in page.splitlines() if line.startswith("`zu_")] == HOOKS


@pytest.mark.parametrize("name", EXPECTED)
def test_a_generated_page_says_what_a_reader_expects(generated: ModuleType, name: str) -> None:
    page = generated.PAGES[name]()
    missing = [text for text in EXPECTED[name] if text not in page]
    assert not missing
    assert not re.search(r"<(class|function|module|object)| at 0x[0-9a-f]", page), "nothing is a repr"


def test_every_option_and_every_hook_is_explained() -> None:
    for registered in COMPONENTS:
        for option in fields(registered.spec.options):
            assert len(option.metadata.get("help", "")) > 3, (
                f"{registered.spec.name}: option {option.name} has no help"
            )
    for name, hook in vars(hookspecs).items():
        if name.startswith("zu_"):
            assert len(hook.__doc__) > 60, f"{name}: its docstring is its contract"


def test_every_metric_is_explained() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for registered in COMPONENTS:
        if registered.spec.kind == "metric" and registered.plugin.startswith("zu_"):
            assert f"`{registered.spec.name}`" in page


def test_concepts_list_what_is_measured_by_default() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    part = page.partition("## What is measured")[2]
    told = re.findall(r"^\| `(\w+)` \|", part, re.M)
    assert sorted(told) == sorted(installed_plugins().registry.default_metrics)


def commands() -> list[tuple[str, str]]:
    """Every command line of a code block, with its page; lines that a backslash ends go on."""
    found = []
    for page in PAGES:
        for block in re.findall(
            r"```(?:bash|console)\n(.*?)```|((?:^    .*\n)+)", page.read_text("utf-8"), re.DOTALL | re.M
        ):
            for line in "".join(block).replace("\\\n", " ").splitlines():
                line = line.strip().removeprefix("$ ").partition("  #")[0]
                if re.match(r"zu [a-z]+ ", line):
                    found.append((page.relative_to(ROOT).as_posix(), line))
    return found


def test_readme_counts_what_is_registered() -> None:
    registry = installed_plugins().registry
    readers = {c.spec.target for c in COMPONENTS if c.spec.kind == "dataset"}
    trained = [c for c in COMPONENTS if c.spec.kind == "solver" and c.plugin == "zu_finetune"]
    methods = {cell.method for cell in load_bench("demo-table", ["seeds=1"]).cells}
    told = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for count, words in (
        (len(trained), "{} gradient baselines"),
        (len(registry.names("metric")), "{} [metrics]"),
        (len(readers), "{} [data sets]"),
        (len(registry.names("audit")), "tries {} attacks"),
        (len(methods), "# {} methods"),
    ):
        assert words.format(NUMERALS.get(count, str(count))) in told, f"{count}: {words}"


def test_the_run_that_readme_shows_measures_what_is_measured_by_default() -> None:
    shown = (ROOT / "README.md").read_text("utf-8").partition("```text\n")[2].partition("```")[0]
    rows = {row.split("/")[0] for row in re.findall(r"^│ ([a-z_]+(?:/\w+)?)", shown, re.M)}
    assert rows == set(installed_plugins().registry.default_metrics)


@cache
def with_example() -> Plugins:
    """The tutorials' plugin beside the installed ones; its own tests install it."""
    sys.path.append(str(ROOT / "plugins" / "zu_example"))
    try:
        return load_plugins(extra=[import_module("zu_example.plugin")])
    finally:
        sys.path.remove(str(ROOT / "plugins" / "zu_example"))


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_in_the_documents_are_well_formed(page: str, line: str) -> None:
    """The command has these arguments and options; configs and keys exist, values have their type. Paths are yours."""
    _, command, *arguments = shlex.split(line)
    known: Any = typer.main.get_command(app)
    given = known.commands[command].make_context(command, list(arguments)).params
    overrides = given.get("overrides") or ()
    if command in ("run", "check") and not given["config"].startswith("runs/"):
        resolve(load_config(given["config"], overrides), with_example())
    elif command == "bench" and not given["config"].endswith(".yaml"):
        for cell in load_bench(given["config"], ["seeds=1", *overrides]).cells:
            resolve(cell.config, with_example())
    elif command == "eval" and not given["suite"].endswith(".yaml"):
        suite_config(given["model"], given["suite"], overrides, installed_plugins())


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


FIRST = {
    "solver": "RidgeRemapOptions",
    "metric": "with_hint",
    "data-set": "CapitalsOptions",
    "target-builder": "MuffledOptions",
    "locator": "MiddleOptions",
    "collector": "BareEnd",
}


def test_the_tests_that_the_cases_name_exist() -> None:
    page = (ROOT / "docs" / "results" / "cases.md").read_text("utf-8")
    named = re.findall(r"^\|.*`(tests/\S+\.py)::(test_\w+)` \|$", page, re.M)
    assert len(named) > 40
    assert [pair for pair in named if f"def {pair[1]}(" not in (ROOT / pair[0]).read_text("utf-8")] == []


@pytest.mark.slow
def test_a_solver_in_a_notebook_solves() -> None:
    """In a process of its own: the notebook's module is `__main__`."""
    code = ROOT / "docs" / "snippets" / "notebook.py"
    done = subprocess.run([sys.executable, str(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split() == ["tensor(True)", "True"], done.stderr


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
        *(f"first-{kind}" for kind in FIRST),
    ):
        html = (tmp_path / "site" / page / "index.html").read_text("utf-8")
        assert len(html) > 5000
    for kind, name in FIRST.items():
        assert name in (tmp_path / "site" / f"first-{kind}" / "index.html").read_text("utf-8"), (
            "code is included"
        )
    python = (tmp_path / "site" / "reference" / "api" / "index.html").read_text("utf-8")
    for package in sorted(PUBLIC | {"zu_framework.testing"}):
        offered = exported(package) - {"__version__"}
        # what a package re-exports stands under its first name
        missing = [
            n for n in offered if not {f'id="{package}.{n}"', f'id="zu_framework.{n}"'} & set(ids(python))
        ]
        assert not [name for name in missing if callable(getattr(import_module(package), name))], package


def ids(html: str) -> list[str]:
    return re.findall(r'id="[\w.]+"', html)
