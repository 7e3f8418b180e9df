"""A tiny model, six facts, and a grid of a few cells over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Grid = dict[str, Any]


@pytest.fixture
def grid(checkpoint: Path, facts: Path, text: Path) -> Grid:
    """Two methods and two seeds; tests change single keys."""
    return {
        "model": {"path": str(checkpoint), "device": "cpu"},
        "data": {"name": "jsonl", "path": str(facts)},
        "locator": {"name": "fixed", "layers": [1]},
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(text), "documents": 20},
        "target": {"name": "neutral", "steps": 3},
        "evaluate": {"metrics": ["efficacy", "specificity", "answer_probability"], "completions": 0},
        "bench": {"title": "A small bench"},
        "seeds": [0, 1],
        "forget": 3,
        "methods": [
            {"label": "MEMIT", "solver": {"name": "memit", "background_weight": 1}},
            {"label": "local", "solver": {"name": "zerounlearn-local", "background_weight": 1}},
        ],
    }


@pytest.fixture
def written(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write the grid with changes to a file in the working directory; answers its name."""
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> str:
        (tmp_path / "small.yaml").write_text(yaml.safe_dump({**grid, **changes}, sort_keys=False))
        return "small.yaml"

    return write
