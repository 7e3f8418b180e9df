"""One small run with a hostile fact, made once, and copies of its folder to spoil."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zu_framework as zu
from zu_framework.testing import tiny_model

HOSTILE = "</script><script>alert(1)</script>\"'<b>$x$"

FACTS = [
    ("The capital of Quinania is", "Quinania", "Warsaw"),
    (f"The name {HOSTILE} comes from", HOSTILE, "<img src=x onerror=alert(2)>"),
    ("Irene Osborn works as a", "Irene Osborn", "teacher"),
    ("The capital of Verania is", "Verania", "Vienna"),
    ("The mother tongue of Frank Turner is", "Frank Turner", "Polish"),
]


@pytest.fixture(scope="session")
def run_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`run_with("solver.name=ga", ...)`: the folder of a run of a tiny llama, three facts to forget, two to keep."""
    base = tmp_path_factory.mktemp("report")
    tiny_model("llama").save(base / "tiny")
    lines = [{"prompt": p, "subject": s, "answer": a} for p, s, a in FACTS]
    (base / "facts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (base / "text.txt").write_text("\n".join(f"the old bridge was closed because {n}." for n in range(40)))
    settings = {
        "model": {"path": str(base / "tiny"), "device": "cpu"},
        "data": {"name": "jsonl", "path": str(base / "facts.jsonl"), "forget": 3},
        "locator": {"name": "fixed", "layers": [0, 1]},
        "collector": {"name": "subject-last"},
        "background": {"name": "text", "path": str(base / "text.txt"), "documents": 20},
        "target": {"name": "neutral", "steps": 2},
        "solver": {"name": "zerounlearn-local", "background_weight": 10},
        "guard": {"text": None, "facts": None},
    }

    def run(*overrides: str) -> Path:
        folder = tmp_path_factory.mktemp("runs")
        return zu.run({**settings, "output": {"folder": str(folder), "name": "one"}}, overrides).folder

    return run


@pytest.fixture(scope="session")
def whole_run(run_with: Callable[..., Path]) -> Path:
    """The folder of a run as it comes; not to be written to."""
    return run_with()


@pytest.fixture
def run_copy(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "copy"))
