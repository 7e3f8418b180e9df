"""A damaged ledger, a changed model, a damaged undo record: refused, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zu_framework as zu
from tests.store.in_sequence import FIRST, SECOND, Edited, two
from zu_framework import ModelError, RunFolderError
from zu_framework.engine.check import check
from zu_framework.store.run_edit import load_edit


def damaged_json(folder: Path) -> None:
    (folder / "ledger.json").write_text('{"format": 1, "edits": [')


def missing_factors(folder: Path) -> None:
    (folder.parents[1] / "edit.safetensors").unlink()


def other_factors(folder: Path) -> None:
    path = folder.parents[1] / "edit.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)


def a_number_changed(folder: Path) -> None:
    path = folder / "ledger.json"
    kept = json.loads(path.read_text())
    kept["edits"][0]["sites"][0]["relative_change"] *= 2
    path.write_text(json.dumps(kept))


def a_text_for_a_list(folder: Path) -> None:
    path = folder / "ledger.json"
    kept = json.loads(path.read_text())
    kept["edits"][0]["sites"] = "all"
    path.write_text(json.dumps(kept))


def name_that_leads_out(folder: Path) -> None:
    path = folder / "ledger.json"
    kept = json.loads(path.read_text())
    kept["edits"][0]["id"] = "../../../elsewhere"
    path.write_text(json.dumps(kept))


def later_format(folder: Path) -> None:
    path = folder / "ledger.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 9'))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damaged_json, r"ledger.json is damaged: .* not JSON .*: restore it, or remove ledger/"),
        (missing_factors, r"whose factors and keys are in no run folder of"),
        (other_factors, r"edit.safetensors is damaged: tensor .* is not what was written"),
        (a_number_changed, r"ledger.json is damaged: its description is not what was written"),
        (a_text_for_a_list, r"ledger.json is damaged: field 'edits.0.sites' is a text, not a list"),
        (name_that_leads_out, r"ledger.json is damaged: field .*elsewhere"),
        (later_format, r"ledger.json has format 9, this version reads 2"),
    ],
)
def test_a_damaged_ledger_stops_a_run_before_it_starts(
    edited: Edited, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    first = edited("first", None, FIRST)
    damage(first.folder / "model" / "ledger")
    with pytest.raises(RunFolderError, match=said):
        edited("second", first.folder / "model", SECOND)
    assert not (tmp_path / "runs" / "second").exists()


def test_checking_a_config_meets_a_damaged_ledger(edited: Edited) -> None:
    first = edited("first", None, FIRST)
    config = yaml.safe_load((first.folder / "config.yaml").read_text())
    config["model"]["path"] = str(first.folder / "model")
    assert check(config).forget == 2
    damaged_json(first.folder / "model" / "ledger")
    with pytest.raises(RunFolderError, match="ledger.json is damaged"):
        check(config)


def test_a_model_that_was_changed_since_is_refused(edited: Edited, tmp_path: Path) -> None:
    first = edited("first", None, FIRST)
    path = first.folder / "model" / "model.safetensors"
    changed = load_file(path)
    changed["model.layers.1.mlp.down_proj.weight"][0, 0] += 1
    save_file(changed, path, metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"carries a ledger of 1 edits, .*it was changed since; .*remove its ledger/"
    ):
        edited("second", first.folder / "model", SECOND)
    with pytest.raises(ModelError, match=r"it was changed since; .*remove its ledger/"):
        zu.revert(first.folder, first.folder / "model", tmp_path / "out")


def test_a_damaged_undo_record_is_not_put_back(edited: Edited, tmp_path: Path) -> None:
    first, second = two(edited)
    record = load_edit(first.folder)
    path = first.folder / "undo.safetensors"
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    kept = load_file(path)
    kept[record.sites[0].tensor][0, 0] += 1
    save_file(kept, path, metadata=metadata)
    with pytest.raises(RunFolderError, match=r"undo.safetensors is damaged: tensor .*down_proj.weight"):
        zu.revert(first.folder, second.folder / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
