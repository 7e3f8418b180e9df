"""The edits that a model carries: runs continue the list, any edit comes off again, and damage is met at the door."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from tests.store.in_sequence import FIRST, SECOND, THIRD, Edited, Settings, tensors, two
from zu_framework import LanguageModel, ModelError, RunFolderError, Update
from zu_framework.cli import main
from zu_framework.engine.run import RunResult
from zu_framework.store.ledger import Ledger
from zu_framework.store.private import PrivatePart
from zu_framework.store.run_edit import load_edit


def three(edited: Edited, **options: Any) -> list[RunResult]:
    first, second = two(edited, **options)
    return [first, second, edited("third", second.folder / "model", THIRD, **options)]


def ledger(folder: Path) -> list[dict[str, Any]]:
    kept: dict[str, Any] = json.loads((folder / "ledger" / "ledger.json").read_text())
    listed: list[dict[str, Any]] = kept["edits"]
    return listed


def same(ours: Path, theirs: Path) -> bool:
    return (ours / "model.safetensors").read_bytes() == (theirs / "model.safetensors").read_bytes()


def test_a_run_on_a_model_with_a_ledger_continues_it(edited: Edited) -> None:
    runs = two(edited)
    for folder in (runs[1].folder, runs[1].folder / "model"):
        listed = ledger(folder)
        assert [e["id"] for e in listed] == [load_edit(r.folder).id for r in runs]
        assert [[s["name"] for s in e["sites"]] for e in listed] == [["model.layers.0.mlp.down_proj"]] * 2
        for entry, run in zip(Ledger.read(folder).entries, runs, strict=True):
            kept = PrivatePart.beside(folder, runs[0].folder).record(entry).sites[0]
            site = run.edit.sites[0]
            assert torch.equal(kept.steps[0].left, site.steps[0].left)  # type: ignore[arg-type]
            assert torch.equal(kept.keys[0], site.keys[0])  # type: ignore[arg-type]
    assert len(ledger(runs[0].folder)) == 1


def test_the_ledger_beside_a_model_holds_no_tensor(edited: Edited) -> None:
    for run in two(edited):
        assert [file.name for file in (run.folder / "model" / "ledger").iterdir()] == ["ledger.json"]


def test_factors_of_earlier_edits_are_found_where_we_say_or_named_as_missing(
    edited: Edited, settings: Settings, tmp_path: Path
) -> None:
    first = edited("first", None, FIRST)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(first.folder / "model", tmp_path / "published")
    shutil.move(first.folder, elsewhere / "first")
    with pytest.raises(
        RunFolderError,
        match=r"factors and keys are in no run folder of .*: give .*ledger.private=DIR, or go on",
    ):
        edited("second", tmp_path / "published", SECOND)
    settings["ledger"] = {"private": str(elsewhere)}
    found = edited("second", tmp_path / "published", SECOND)
    assert len(ledger(found.folder)) == 2
    settings["ledger"] = {"private": "none"}
    assert len(ledger(edited("third", tmp_path / "published", SECOND).folder)) == 2


def test_last_in_first_out_is_byte_exact(edited: Edited, checkpoint: Path, tmp_path: Path) -> None:
    runs = three(edited, layers=(0, 1))
    model = runs[-1].folder / "model"
    for back, run in enumerate(reversed(runs)):
        out = tmp_path / f"back{back}"
        assert zu.revert(run.folder, model, out) == []
        before = runs[1 - back].folder / "model" if back < 2 else checkpoint
        assert same(out, before)
        if back < 2:
            assert ledger(out) == ledger(before)
        model = out
    assert not (model / "ledger").exists()


def test_an_edit_in_the_middle_comes_off_to_rounding_and_the_error_is_told(
    edited: Edited, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = three(edited)
    name = "model.layers.0.mlp.down_proj"
    out = tmp_path / "without"
    main(["revert", str(second.folder), str(third.folder / "model"), str(out)])
    said = capsys.readouterr()
    assert f"note: site {name}: 1 later updates were done again on its original" in said.err
    error = float(said.err.split("at most ")[1].split(",")[0])
    assert 0 <= error < 1e-6
    assert str(out) in said.out

    original = tensors(checkpoint)[f"{name}.weight"].double()
    wanted = original
    for run in (first, third):
        step = run.edit.sites[0].steps[0]
        wanted = step.applied(wanted, torch.float64)
    got = tensors(out)[f"{name}.weight"].double()
    moved = (tensors(third.folder / "model")[f"{name}.weight"].double() - wanted).abs().max()
    assert float((got - wanted).abs().max()) < 1e-6 < 1e-2 * float(moved)
    assert [e["exact"] for e in ledger(out)] == [True, False]

    # the later one comes off too, by what it added: its undo record holds the edit that is gone
    notes = zu.revert(third.folder, out, tmp_path / "one")
    assert "an edit before it is gone" in notes[0] and "right to about" in notes[0]
    left = tensors(tmp_path / "one")[f"{name}.weight"]
    limit = float(notes[0].split("right to about ")[1].split()[0])
    assert float((left - tensors(first.folder / "model")[f"{name}.weight"]).abs().max()) <= limit
    assert len(ledger(tmp_path / "one")) == 1


def test_an_edit_under_a_later_one_of_other_sites_comes_off_byte_for_byte(
    edited: Edited, checkpoint: Path, tmp_path: Path
) -> None:
    first = edited("first", None, FIRST, layers=(0,))
    second = edited("second", first.folder / "model", SECOND, layers=(1,))
    notes = zu.revert(first.folder, second.folder / "model", tmp_path / "out")
    assert notes == ["site model.layers.0.mlp.down_proj: its original is back, byte for byte"]
    name = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(tensors(tmp_path / "out")[name], tensors(checkpoint)[name])
    # and the second one, though the model is not the one that it was made on
    notes = zu.revert(second.folder, tmp_path / "out", tmp_path / "none")
    assert "byte for byte" in notes[0]
    assert same(tmp_path / "none", checkpoint)


def test_a_dense_edit_of_a_model_solver_takes_part(edited: Edited, checkpoint: Path, tmp_path: Path) -> None:
    dense = {"name": "ft", "steps": 2, "lr": 0.01}
    first = edited("first", None, FIRST, dense)
    assert first.edit.sites[0].steps[0].dense is not None
    second = edited("second", first.folder / "model", SECOND)
    assert [len(e["sites"]) > 0 for e in ledger(second.folder)] == [True, True]
    notes = zu.revert(first.folder, second.folder / "model", tmp_path / "out")
    assert any("done again" in note for note in notes)
    name = "model.layers.0.mlp.down_proj.weight"
    wanted = second.edit.sites[0].steps[0].apply(tensors(checkpoint)[name])
    torch.testing.assert_close(tensors(tmp_path / "out")[name], wanted, rtol=0, atol=1e-6)
    assert zu.revert(second.folder, second.folder / "model", tmp_path / "back") == []
    assert same(tmp_path / "back", first.folder / "model")


def test_alphaedit_retains_what_the_ledger_lists_and_nothing_that_was_reverted(
    edited: Edited, tmp_path: Path
) -> None:
    solver = {"name": "alphaedit", "null_rank": 40, "l2": 0.1}
    first, second = two(edited, solver=solver)
    third = edited("third", second.folder / "model", THIRD, solver)
    zu.revert(first.folder, second.folder / "model", tmp_path / "without")
    alone = edited("alone", tmp_path / "without", THIRD, solver)
    for run, count in ((first, 0), (second, 2), (third, 4), (alone, 2)):
        site = next(iter(run.edit.report["sites"].values()))[0]
        assert site["solver"]["earlier_keys"] == count

    def moved(run: RunResult, earlier: RunResult) -> float:
        """How far the run's update moves the outputs on the earlier run's keys, relative to its own keys."""
        step, keys = run.edit.sites[0].steps[0], earlier.edit.keys[run.edit.sites[0].site.name]
        own = run.edit.keys[run.edit.sites[0].site.name]
        assert isinstance(step, Update) and step.left is not None and step.right is not None
        return float((step.left @ (step.right @ keys)).norm() / (step.left @ (step.right @ own)).norm())

    assert moved(third, first) < 0.5 * moved(alone, first)
    assert moved(alone, second) < 0.5 * moved(alone, first)


def test_edits_in_memory_retain_each_other_and_are_listed_together(
    settings: Settings, lm: LanguageModel, tmp_path: Path
) -> None:
    def forget(number: int, *earlier: zu.Edit) -> zu.Edit:
        subject = ["Quinania", "Verania", "Delland"][number]
        request = {"prompt": f"The capital of {subject} is", "answer": "Oslo", "subject": subject}
        mine = {k: settings[k] for k in ("background",)} | {
            "locator": {"name": "fixed", "layers": [0]},
            "collector": {"name": "subject-last", "contexts": "none"},
            "target": {"name": "neutral", "steps": 2},
            "solver": {"name": "alphaedit", "null_rank": 40},
        }
        return zu.unlearn(lm, lm.tokenizer, [request], mine, earlier=earlier)

    def retained(edit: zu.Edit) -> Any:
        return next(iter(edit.report["sites"].values()))[0]["solver"]["earlier_keys"]

    first = forget(0)
    second = forget(1, first)
    assert (retained(first), retained(second)) == (0, 1)
    second.save(tmp_path / "both")
    assert [e["id"] for e in ledger(tmp_path / "both")] == [e.record().id for e in (first, second)]
    second.revert()
    third = forget(2, first, second)
    assert retained(third) == 1
    third.save(tmp_path / "again")
    assert len(ledger(tmp_path / "again")) == 2
    other = LanguageModel.wrap(type(lm.model)(lm.model.config), lm.tokenizer)
    with pytest.raises(ModelError, match="made on another model"):
        zu.unlearn(other, lm.tokenizer, list(first.requests), settings, earlier=[first])


def test_a_checkpoint_without_its_ledger_gets_it_from_the_run(edited: Edited, tmp_path: Path) -> None:
    first, second = two(edited)
    bare = tmp_path / "bare"
    shutil.copytree(first.folder / "model", bare, ignore=shutil.ignore_patterns("ledger"))
    assert zu.apply(second.folder, bare, tmp_path / "both") == []
    assert ledger(tmp_path / "both") == ledger(second.folder)
    shutil.copytree(second.folder / "model", tmp_path / "bare2", ignore=shutil.ignore_patterns("ledger"))
    assert zu.revert(second.folder, tmp_path / "bare2", tmp_path / "back") == []
    assert ledger(tmp_path / "back") == ledger(first.folder)
    with pytest.raises(ModelError, match="saved with its ledger/"):
        zu.revert(first.folder, tmp_path / "bare2", tmp_path / "no")


def test_an_edit_is_not_put_on_twice_nor_taken_off_where_it_is_not(
    edited: Edited, checkpoint: Path, tmp_path: Path
) -> None:
    first, second = two(edited)
    other = edited("other", None, THIRD)
    with pytest.raises(ModelError, match="carries this edit already"):
        zu.apply(first.folder, second.folder / "model", tmp_path / "out")
    with pytest.raises(ModelError, match=r"does not carry this edit \(.*\): its ledger lists .*-.*, .*-"):
        zu.revert(other.folder, second.folder / "model", tmp_path / "out")
    with pytest.raises(ModelError, match="the weights that it changed are as they were before it"):
        zu.revert(first.folder, checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_undo_records_an_earlier_edit_is_subtracted(
    settings: Settings, edited: Edited, checkpoint: Path, tmp_path: Path
) -> None:
    settings["output"]["undo"] = False
    first, second = two(edited)
    notes = zu.revert(first.folder, second.folder / "model", tmp_path / "out")
    assert "kept no undo record" in notes[0]
    name = "model.layers.0.mlp.down_proj.weight"
    wanted = second.edit.sites[0].steps[0].apply(tensors(checkpoint)[name])
    torch.testing.assert_close(tensors(tmp_path / "out")[name], wanted, rtol=0, atol=1e-6)
