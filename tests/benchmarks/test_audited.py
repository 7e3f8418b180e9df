"""The audit of all methods: what each is asked to do, and the table that is made of what lies in the folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.audited import __main__ as command
from tests.benchmarks.audited.methods import LABELS, World, smollm2
from tests.benchmarks.audited.methods import demo as demo_world
from tests.benchmarks.audited.table import table
from zu_framework import demo
from zu_framework.config import load_config

NINE = {"memit", "rome", "alphaedit", "zerounlearn", "ft", "npo", "simnpo", "rmu", "ours"}


@pytest.mark.parametrize("world", [smollm2("DIR"), demo_world()], ids=["smollm2", "demo"])
def test_nine_methods_forget_the_same_facts_in_the_same_model(world: World) -> None:
    assert set(world.runs) >= NINE and set(world.runs) <= set(LABELS)
    for name, settings in world.runs.items():
        for config in settings.values():
            tree = load_config(config).tree
            assert (tree["model"]["path"], tree["data"]["forget"]) == (world.base, world.facts)
            solver = "zerounlearn-local" if name in ("ours", "alike") else name
            assert (tree["solver"]["name"], tree["target"]["name"]) == (solver, "neutral")
            if name in ("memit", "rome", "alphaedit", "zerounlearn"):  # whose states are found as published
                assert tree["target"].get("lr_unit", "absolute") == "absolute"


def test_settings_of_the_demo_were_chosen_on_facts_that_are_not_forgotten() -> None:
    places = [record["case_id"] for record in demo.records()]
    forgotten = [places.index(case) for case in demo.forget_case_ids()]
    assert len(forgotten) == demo_world().facts and min(forgotten) >= len(places) // 2


def finding(variant: str, value: float, *, holds: bool, untouched: float = 95.0) -> dict[str, Any]:
    beside = {"untouched": {"value": untouched}}
    return {"variant": variant, "recovered": {"value": value}, "holds": holds, "references": beside}


def laid(folder: Path, found: list[dict[str, Any]], efficacy: float, guard: float | None) -> None:
    """What an edit and its audit leave in a run folder, as far as the table reads it."""
    (folder / "audit").mkdir(parents=True)
    steps = [] if guard is None else [{"guard": {"text": 0.1, "facts": guard}}]
    run = {"after": {"efficacy": {"value": efficacy}}, "edit": {"sites": {"layer": steps}}}
    (folder / "metrics.json").write_text(json.dumps(run))
    verdict = "holds under 1 of 2 attacks; lens brings back 40 %"
    audit = {"verdict": verdict, "known": 20, "lost": 19, "findings": found}
    (folder / "audit" / "metrics.json").write_text(json.dumps(audit))


def test_the_table_has_a_column_a_method_and_a_row_an_attack(tmp_path: Path) -> None:
    laid(tmp_path / "memit", [finding("lens", 40.2, holds=False), finding("q4_0", 5, holds=True)], 4.6, 0.8)
    laid(tmp_path / "ft", [finding("lens", 0, holds=True)], 0, None)
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in table(tmp_path, ["rome", "memit", "ft"]).splitlines()
        if (cells := line.split("|"))
    }
    assert rows[""] == ["MEMIT", "FT", "untouched"]
    assert rows["Eff"] == ["5", "0", ""] and rows["Gen"] == ["-", "-", ""]
    assert rows["guard"] == ["80 stops", "-", ""]
    assert rows["lost of known"] == ["19 of 20", "19 of 20", ""] and rows["holds under"][0] == "1 of 2"
    assert rows["lens"] == ["40 *", "0", "95"] and rows["q4_0"] == ["5", "", "95"]


def test_a_column_is_edited_once_and_attacked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def edited(out: Path, name: str, config: Any) -> None:
        done.append(f"edited {name}")
        (out / name).mkdir(parents=True)

    class Report:
        verdict = "holds under 0 of 0 attacks"

    def audit(target: Any, preset: str, overrides: list[str], **more: Any) -> Report:
        done.append(f"attacked {Path(target).name}")
        assert "audit.forget=10" in overrides and preset == "quick"
        # the twin is no reference of its own: it would hold whatever came out
        assert ("evaluate.reference=zu:demo-twin" in overrides) == (Path(target).name == "ft")
        return Report()

    monkeypatch.setattr(command, "edited", edited)
    monkeypatch.setattr(command.zu, "audit", audit)
    monkeypatch.setattr(command.zu, "evaluate", lambda *given, **more: done.append("measured the twin"))
    monkeypatch.setattr(sys, "argv", ["audited", str(tmp_path), "--demo", "--method", "ft", "twin"])
    command.main()
    command.main()
    once = ["attacked ft", "measured the twin", "attacked zu:demo-twin"]
    assert done == ["edited ft", *once, *once]
    assert capsys.readouterr().out.count("ft: holds under 0 of 0 attacks") == 2
    assert (tmp_path / "demo" / "ft").is_dir()
