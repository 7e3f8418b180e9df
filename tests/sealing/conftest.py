"""A run with all that a run can leave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import zu_framework as zu
from tests.small_runs import FACTS


@pytest.fixture(scope="module")
def made(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, private_cache: Path
) -> tuple[Path, Path]:
    """A run with all that a run can leave, and its cache: made once, copied by each test."""
    folder = tmp_path_factory.mktemp("sealing")
    facts = folder / "facts.jsonl"
    lines = [
        {"prompt": p, "subject": s, "answer": a, "paraphrases": [f"People say: {p}"]} for p, s, a in FACTS
    ]
    facts.write_text("\n".join(map(json.dumps, lines)))
    (folder / "text.txt").write_text("\n".join(f"line {n} of some text about the bridge" for n in range(40)))
    zu.run(
        {
            "model": {"path": str(checkpoint), "device": "cpu", "dtype": "bfloat16"},
            "data": {"name": "jsonl", "path": str(facts), "forget": 4},
            "locator": {"name": "fixed", "layers": [0, 1]},
            "collector": {"name": "subject-last", "contexts": "none"},
            "background": {"name": "text", "path": str(folder / "text.txt")},
            "target": {"name": "neutral", "steps": 2, "text": " Quinania"},
            "solver": {"name": "memit", "background_weight": 10},
            "output": {
                "folder": str(folder / "runs"),
                "name": "one",
                "model": True,
                "adapter": True,
                "intermediates": True,
                "share_targets": True,
            },
        }
    )
    return folder / "runs" / "one", private_cache


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made[1], tmp_path / "cache")
    monkeypatch.setenv("ZU_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(made[0], tmp_path / "one"))
