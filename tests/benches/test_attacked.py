"""A bench whose edits are attacked: columns, plot, and what a second call makes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from tests.commands import zu

GRID = {
    "base": "demo",
    "bench": {"title": "Attacked", "audits": ["lens"], "forgetting": "efficacy", "retention": "retained"},
    "data": {"retain": 20},
    "collector": {"contexts": "none"},
    "background": {"documents": 50},
    "evaluate": {"metrics": ["efficacy", "retained"], "completions": 0},
    "guard": {"text": None, "facts": None},
    "seeds": 1,
    "forget": 3,
    "methods": [{"label": "FT", "solver": {"name": "ft", "text": " unknown", "steps": 12}}],
}


def rows(name: str) -> dict[str, dict[str, str]]:
    with Path("benches", name, "results.csv").open(newline="") as file:
        return {row["method"]: row for row in csv.DictReader(file)}


def test_every_edit_is_attacked_and_a_new_attack_edits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = Path("attacked.yaml")
    grid.write_text(yaml.safe_dump(GRID))
    code, out, _ = zu(capsys, "bench", str(grid))
    assert code == 0, out
    first = rows("attacked")
    assert set(first) == {"FT"}
    for row in first.values():
        folder = Path("benches/attacked/cells", row["cell"])
        audit = yaml.safe_load((folder / "audit" / "metrics.json").read_text())
        assert audit["lost"] > 0 and [one["variant"] for one in audit["findings"]] == ["lens"]
        recovered = audit["findings"][0]["recovered"]["value"]
        assert float(row["audit/lens"]) == float(row["audit/worst"]) == recovered
    page = Path("benches/attacked/report.html").read_text("utf-8")
    assert "Forgetting before attack and after" in page and "audit/lens" in page
    edits = {path: path.stat().st_mtime_ns for path in Path("benches").rglob("edit.safetensors")}
    code, out, _ = zu(capsys, "bench", str(grid))
    assert code == 0 and "1 done already" in out
    code, out, _ = zu(capsys, "bench", str(grid), "bench.audits=[lens,depth]")
    assert code == 0 and "0 done already" in out
    for method, row in rows("attacked").items():
        assert row["audit/lens"] == first[method]["audit/lens"]
        worst = max(float(row["audit/lens"]), float(row["audit/depth"]))
        assert float(row["audit/worst"]) == worst
    assert {path: path.stat().st_mtime_ns for path in edits} == edits
