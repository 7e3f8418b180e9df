"""The wheel, the lists in pyproject.toml that must agree, and the constraints file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import zu_framework

ROOT = Path(__file__).resolve().parents[1]
HYPOTHESIS_ASKS = {"CI", "TF_BUILD", "GITHUB_ACTIONS", "BUILDKITE", "CIRCLECI", "TEAMCITY_VERSION"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_shipped_plugin_stands_in_the_one_list() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    points = project()["project"]["entry-points"]["zu_framework"]
    shipped = {path.parent.name for path in (ROOT / "plugins" / "zu_plugins").glob("*/plugin.py")}
    assert points == {f"zu_{name}": f"zu_plugins.{name}.plugin" for name in shipped}
    for name in shipped:
        assert text.count(f"zu_plugins.{name}") == 1, f"{name} stands in more than one list"


@pytest.mark.parametrize("name", ["Makefile", "README.md"])
def test_every_extra_is_installed_where_all_tests_run(name: str) -> None:
    """A test that skips without its extra would skip there unseen."""
    (listed,) = re.findall(r"-e(?:ditable)? '\.\[([\w,-]+)\]'", (ROOT / name).read_text("utf-8"))
    # what `hub` installs comes with `lm-eval`
    assert {*listed.split(","), "hub"} == set(project()["project"]["optional-dependencies"])


def test_make_test_draws_the_same_examples_each_time() -> None:
    """Property tests are random by hand; `.ci/run` is `make test`."""
    assert "exec make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    told = subprocess.run(["make", "-n", "tests"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert re.search(r"^CI=1 \S+/python -m pytest", told.stdout, re.M), told.stdout + told.stderr
    code = "import tests.conftest, hypothesis; print(hypothesis.settings().derandomize)"
    for ci, drawn in (("1", "True"), ("", "False")):
        environment = {
            **{k: v for k, v in os.environ.items() if k not in HYPOTHESIS_ASKS},
            **({"CI": ci} if ci else {}),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        assert done.stdout.strip() == drawn, done.stderr


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_pin_every_requirement_for_any_build() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    assert not any("+" in version or "--hash" in version for version in pins.values())
    required = project()["project"]
    groups = [required["dependencies"], *required["optional-dependencies"].values()]
    names = {normal(re.match(r"[\w.-]+", line)[0]) for group in groups for line in group}
    assert names <= {normal(name) for name in pins}


@pytest.mark.slow
def test_the_wheel_holds_the_framework_its_plugins_and_the_demo_models(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert zu_framework.__version__ in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(n for n in names if n.endswith("entry_points.txt"))
        assert "zu = zu_framework.cli:main" in archive.read(metadata).decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"zu_framework", "zu_plugins", next(t for t in tops if t.endswith(".dist-info"))}
    assert "zu_framework/py.typed" in names
    folders = (ROOT / "zu_framework/reporting/templates", ROOT / "plugins/zu_plugins/reports/templates")
    templates = [path for folder in folders for path in folder.iterdir()]
    assert len(templates) > 10
    assert {p.relative_to(ROOT).as_posix().removeprefix("plugins/") for p in templates} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for model in ("model", "twin"):
        assert f"zu_framework/demo/{model}/model.safetensors" in names
