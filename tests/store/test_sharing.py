"""Target states that runs share: found by whoever needs the very same, by nobody else, and equal to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zu_framework as zu

Settings = dict[str, Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def finds(run: zu.RunResult) -> int:
    events = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    return sum(event["event"] == "found" and event["kind"] == "targets" for event in events)


def go(settings: Settings, name: str, **changes: Any) -> zu.RunResult:
    output = settings["output"] | {"name": name, "share_targets": True}
    return zu.run(settings | changes | {"output": output})


def test_a_second_method_finds_the_targets_of_the_first_and_makes_the_same_edit(settings: Settings) -> None:
    alone = zu.run(settings | {"output": settings["output"] | {"name": "alone"}})
    first = go(settings, "first")
    # the neutral state, and the sensitive values at the first site: those of later sites follow from the solver
    other = go(settings, "other", solver={"name": "zerounlearn", "background_weight": 7})
    again = go(settings, "again")
    assert [finds(run) for run in (alone, first, other, again)] == [0, 0, 2, 3]
    assert set(again.edit.report["saved_seconds"]) == {"targets", "sinks"} and not first.edit.report[
        "saved_seconds"
    ].get("targets")
    edits = [load_file(run.folder / "edit.safetensors") for run in (alone, first, again)]
    for edit in edits[1:]:
        assert edit.keys() == edits[0].keys()
        assert all(torch.equal(edit[name], edits[0][name]) for name in edit)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"target": {"name": "neutral", "steps": 5}},
        {"target": {"name": "neutral", "steps": 4, "text": " nobody"}},
        {"locator": {"name": "fixed", "layers": [1, 2]}},
    ],
    ids=["other facts", "longer", "another text", "another layer"],
)
def test_what_a_target_follows_from_tells_entries_apart(settings: Settings, changes: Settings) -> None:
    memit = settings | {"solver": {"name": "memit"}}
    assert finds(go(memit, "first")) == 0
    assert finds(go(memit, "same")) == 1
    assert finds(go(memit, "other", **changes)) == 0


def test_runs_share_nothing_unless_asked(settings: Settings, cache: Path) -> None:
    zu.run(settings)
    assert not (cache / "targets").exists()


def test_a_damaged_entry_is_computed_again(settings: Settings, cache: Path) -> None:
    memit = settings | {"solver": {"name": "memit"}}
    first = go(memit, "first")
    (entry,) = (cache / "targets").glob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:-3])
    with pytest.warns(UserWarning, match="is damaged"):
        second = go(memit, "second")
    assert finds(second) == 0
    ours, theirs = (load_file(run.folder / "edit.safetensors") for run in (first, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
