"""The solver in two files that CONTRIBUTING.md shows is a solver."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from zu_framework import Background, EditProblem
from zu_framework.engine.alone import solve
from zu_framework.registry.manager import load_plugins

ROOT = Path(__file__).resolve().parents[1]


def test_the_solver_in_two_files_solves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    plugin, implementation = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    package = tmp_path / "zu_mine"
    package.mkdir()
    (package / "plugin.py").write_text(plugin, "utf-8")
    (package / "ridge.py").write_text(implementation, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = load_plugins([EntryPoint("zu_mine", "zu_mine.plugin", "zu_framework")])
    assert not plugins.registry.failures

    torch.manual_seed(0)
    weight, keys, targets = (torch.randn(*shape, dtype=torch.float64) for shape in ((4, 6), (6, 3), (4, 3)))
    problem = EditProblem(weight, keys, weight @ keys, targets, None, Background())
    change = solve("ridge", problem, plugins=plugins, weight=2.5).delta(weight).requires_grad_()
    loss = 2.5 * ((weight + change) @ keys - targets).square().sum() + change.square().sum()
    (slope,) = torch.autograd.grad(loss, change)
    assert slope.norm() < 1e-10 * loss
