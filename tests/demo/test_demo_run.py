"""The main job, as a stranger runs it: `zu run demo` forgets ten facts, keeps the rest, and can be taken back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zu_framework.cli import main
from zu_framework.models import LanguageModel

Ran = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run folder, and what was printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "zu_framework", "run", "demo", "output.name=one"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "ZU_CACHE": str(folder / "cache"), "COLUMNS": "110"},
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "one", done


@pytest.fixture(scope="module")
def metrics(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ran[0] / "metrics.json").read_text())
    return found


@pytest.mark.slow
def test_it_forgets_ten_facts_and_keeps_the_rest(metrics: dict[str, Any]) -> None:
    before, after = ({n: m["value"] for n, m in metrics[side].items()} for side in ("before", "after"))
    assert metrics["after"]["efficacy"]["denominator"] == 10
    assert before["efficacy"] == 100 and after["efficacy"] <= 10
    assert before["generalization"] >= 90 and after["generalization"] <= 30
    assert before["specificity"] - after["specificity"] <= 5
    assert before["retained"] == 100 and after["retained"] >= 95
    assert after["perplexity"] <= 1.1 * before["perplexity"]
    assert after["answer_probability"] < 0.1 < before["answer_probability"]


@pytest.mark.slow
def test_it_is_a_matter_of_seconds(metrics: dict[str, Any]) -> None:
    """A minute is promised on two cores; tests share them, so this only catches what is out of all proportion."""
    assert sum(metrics["edit"]["seconds"].values()) < 120


@pytest.mark.slow
def test_it_says_what_happened_and_how_to_go_on(ran: Ran, metrics: dict[str, Any]) -> None:
    folder, done = ran
    for metric in ("efficacy", "generalization", "specificity", "retained", "perplexity"):
        assert metric in done.stdout
    assert len(metrics["completions"]) == 3
    assert all(c["before"].strip().startswith(c["answer"].strip()) for c in metrics["completions"])
    assert not any(c["after"].strip().startswith(c["answer"].strip()) for c in metrics["completions"])
    assert "run folder: runs/one" in done.stdout
    assert "zu apply runs/one zu:demo EDITED_DIR" in done.stdout
    assert "zu revert runs/one EDITED_DIR ORIGINAL_DIR" in done.stdout
    # progress alone: a line a phase, nothing that a library says
    strange = [line for line in done.stderr.splitlines() if not re.fullmatch(r" +\d+\.\d s  \w.*", line)]
    assert not strange
    assert sorted(p.name for p in folder.iterdir()) == [
        "analysis.safetensors",
        "config.yaml",
        "edit.safetensors",
        "facts.json",
        "ledger",
        "log.jsonl",
        "metrics.json",
        "report.html",
        "undo.safetensors",
    ]


@pytest.mark.slow
def test_it_can_be_applied_and_taken_back(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(ran[0])
    main(["apply", folder, "zu:demo", str(tmp_path / "edited")])
    main(["revert", folder, str(tmp_path / "edited"), str(tmp_path / "original")])
    capsys.readouterr()
    original = LanguageModel.from_pretrained("zu:demo", dtype="float32").model.state_dict()
    back, edited = (load_file(tmp_path / n / "model.safetensors") for n in ("original", "edited"))
    changed = [name for name, tensor in back.items() if not torch.equal(tensor, edited[name])]
    assert changed == ["model.layers.0.mlp.down_proj.weight"]
    assert all(torch.equal(tensor, original[name]) for name, tensor in back.items())
