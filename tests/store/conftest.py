"""A checkpoint of one's own, and a run after a run, each on the model that the one before it left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from tests.store.in_sequence import KEY_SPACE, Edited, Settings
from zu_framework.engine.run import RunResult


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, that a test may change."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.fixture
def edited(settings: Settings, facts: Path, tmp_path: Path) -> Edited:
    """Forget facts number `which` on a model, and save the model beside the run."""
    lines = facts.read_text().splitlines()

    def edit(
        name: str, model: Path | None, which: slice, solver: Settings = KEY_SPACE, layers: Any = (0,)
    ) -> RunResult:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(lines[which]))
        mine = {
            **settings,
            "data": {"name": "jsonl", "path": str(path), "forget": "all"},
            "locator": {"name": "fixed", "layers": list(layers)},
            "collector": {"name": "subject-last", "contexts": "none"},
            "target": {"name": "neutral", "steps": 3},
            "solver": solver,
            "evaluate": {"metrics": ["efficacy"]},
            "output": {**settings["output"], "name": name, "model": True},
        }
        if model is not None:
            mine["model"] = {"path": str(model), "device": "cpu"}
        return zu.run(mine)

    return edit
