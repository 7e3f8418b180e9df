"""`config.yaml` of a run folder runs again: the same numbers, under a new name, whatever changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from zu_framework.cli import main


def numbers(folder: Path) -> Any:
    kept = json.loads((folder / "metrics.json").read_text())
    return kept["before"], kept["after"]


def test_a_run_folders_config_runs_again_under_a_new_name(
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACTS", settings["data"]["path"])
    runs = tmp_path / "runs"
    settings["data"]["path"] = "${oc.env:FACTS}"
    settings["output"] = {"folder": str(runs), "name": "first", "report": False}
    path = tmp_path / "my config.yaml"
    path.write_text(yaml.safe_dump(settings))
    main(["run", str(path)])
    monkeypatch.setenv("FACTS", "nowhere.jsonl")
    main(["run", str(runs / "first" / "config.yaml")])
    (again,) = [folder for folder in runs.iterdir() if folder.is_dir() and folder.name != "first"]
    assert again.name.startswith("my-config-")
    assert numbers(again) == numbers(runs / "first")
    first, second = ((folder / "config.yaml").read_text() for folder in (runs / "first", again))
    assert first == second and "${" not in first
    main(["run", str(again / "config.yaml"), "output.name=third", "seed=1"])
    assert (runs / "third").is_dir()


def test_a_suite_that_was_resolved_measures_again(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = settings["model"]["path"], settings["data"]["path"]
    given = [f"data.path={data}", f"output.folder={tmp_path / 'runs'}", "evaluate.metrics=[efficacy]"]
    main(["eval", model, "--suite", "facts", *given, "output.name=one"])
    one = tmp_path / "runs" / "one"
    main(["eval", model, "--suite", str(one / "config.yaml"), "output.name=two"])
    assert numbers(one) == numbers(tmp_path / "runs" / "two")
