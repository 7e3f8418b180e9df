"""The tutorial's plugin, installed from its folder as a stranger's would be: listed, run, held to the contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zu_framework.testing import tiny_model

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "plugins" / "zu_example"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which the plugin is installed: pip puts it, with its entry point, into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    copy = shutil.copytree(SOURCE, tmp_path_factory.mktemp("source") / "zu_example")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"),
            *("--no-deps", "--no-build-isolation", "--target", str(folder), str(copy)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


def zu(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zu_framework", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )


def test_it_is_listed_and_runs_by_its_name(environment: dict[str, str], tmp_path: Path) -> None:
    listed = zu(environment, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    entry = next(c for c in json.loads(listed.stdout)["components"] if c["name"] == "ridge-remap")
    assert (entry["plugin"], entry["version"], entry["options"]) == ("zu_example", "0.1.0", {"ridge": 1.0})
    absent = zu(dict(os.environ), "plugins", "--json")
    assert "ridge-remap" not in absent.stdout

    tiny_model("llama").save(tmp_path / "model")
    facts = [{"prompt": "The capital of France is", "subject": "France", "answer": "Paris"}]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, facts)))
    done = zu(
        environment,
        "run",
        "zerounlearn-local",
        f"model.path={tmp_path / 'model'}",
        "data.name=jsonl",
        f"data.path={tmp_path / 'facts.jsonl'}",
        "locator.name=fixed",
        "locator.layers=[0]",
        "target.steps=3",
        "solver.name=ridge-remap",
        "solver.ridge=0.1",
        f"output.folder={tmp_path / 'runs'}",
        "output.name=one",
    )
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "runs" / "one" / "metrics.json").read_text())["edit"]
    assert about["solver"] == "ridge-remap"
    mistyped = zu(environment, "run", "demo", "solver.name=ridge-remap", "solver.rigde=0.1")
    assert mistyped.returncode == 2 and "solver.rigde" in mistyped.stderr


def test_it_keeps_the_contract(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SOURCE / "tests")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "failed" not in done.stdout


def test_the_tutorial_solves_a_problem_with_it(environment: dict[str, str]) -> None:
    snippet = ROOT / "docs" / "snippets" / "first_solver.py"
    done = subprocess.run(
        [sys.executable, str(snippet)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout.split()[0]) < 0.1
