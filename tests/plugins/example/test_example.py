"""The tutorial's plugin, installed from its folder as a stranger's would be: listed, run, held to the contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


COMPONENTS = {
    "solver": "ridge-remap",
    "metric": "with_hint",
    "dataset": "capitals",
    "target": "muffled",
    "locator": "middle",
    "collector": "bare-end",
    "audit": "insist",
}


def test_one_of_each_kind_is_listed_once_it_is_installed(environment: dict[str, str]) -> None:
    listed = zu(environment, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    mine = [c for c in json.loads(listed.stdout)["components"] if c["plugin"] == "zu_example"]
    assert {c["kind"]: c["name"] for c in mine} == COMPONENTS
    assert {c["version"] for c in mine} == {"0.1.0"}
    assert next(c for c in mine if c["kind"] == "solver")["options"] == {"ridge": 1.0}
    absent = zu(dict(os.environ), "plugins", "--json")
    assert "ridge-remap" not in absent.stdout


@pytest.mark.slow
def test_they_run_together_by_their_names(
    environment: dict[str, str], checkpoint: Path, tmp_path: Path
) -> None:
    done = zu(
        environment,
        "run",
        "zerounlearn-local",
        f"model.path={checkpoint}",
        "data.name=capitals",
        "locator.name=middle",
        "collector.name=bare-end",
        "target.name=muffled",
        "target.strength=0.25",
        "solver.name=ridge-remap",
        "solver.ridge=0.1",
        "evaluate.metrics=[efficacy,with_hint]",
        f"output.folder={tmp_path}",
        "output.name=one",
    )
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert saved["edit"]["solver"] == "ridge-remap"
    assert list(saved["edit"]["sites"]) == ["model.layers.1.mlp.down_proj"]
    assert saved["after"]["with_hint"]["denominator"] == 4
    mistyped = zu(environment, "run", "demo", "solver.name=ridge-remap", "solver.rigde=0.1")
    assert mistyped.returncode == 2 and "solver.rigde" in mistyped.stderr


@pytest.mark.slow
def test_the_locators_check_is_asked_before_the_weights(
    environment: dict[str, str], checkpoint: Path
) -> None:
    asked = [
        "check",
        "zerounlearn-local",
        f"model.path={checkpoint}",
        "data.name=capitals",
        "locator.name=middle",
    ]
    more = ["collector.name=bare-end", "target.name=muffled", "solver.name=ridge-remap"]
    fine = zu(environment, *asked, *more)
    assert fine.returncode == 0, fine.stderr
    wide = zu(environment, *asked, *more, "locator.width=9")
    assert wide.returncode == 2 and "width is 9, and the model has 3 layers" in wide.stderr


@pytest.mark.slow
def test_a_metrics_own_field_is_known_once_it_is_installed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    fact = {"prompt": "The capital of Peru is", "subject": "Peru", "answer": "Lima", "hint": "Not Cuzco."}
    (tmp_path / "facts.jsonl").write_text(json.dumps(fact))
    asked = ["check", "demo", "data.name=jsonl", f"data.path={tmp_path / 'facts.jsonl'}", "data.forget=1"]
    assert zu(environment, *asked).returncode == 0
    refused = zu(dict(os.environ), *asked)
    assert refused.returncode == 2 and "hint" in refused.stderr


@pytest.mark.slow
def test_each_keeps_the_contract_of_its_kind(environment: dict[str, str]) -> None:
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
