"""A damaged run is refused before anything is written, and the file and field are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import zu_framework as zu
from tests.store.edits import contents, run_on
from zu_framework import RunFolderError
from zu_framework.store.tensor_files import json_digest, load_tensors, save_tensors

Change = Callable[[dict[str, Tensor], dict[str, Any]], "str | None"]


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> Path:
    return run_on(checkpoint, tmp_path / "run")


def rewritten(path: Path, change: Change, *, consistently: bool = False) -> None:
    """Change a file's tensors or description; consistently: its own digests follow."""
    tensors = load_file(path)
    with safe_open(path, "pt") as opened:
        about = json.loads(opened.metadata()["zu"])
    raw = change(tensors, about)
    if consistently:
        about = {k: v for k, v in about.items() if k not in ("digest", "digests")}
        save_tensors(path, tensors, about)
        return
    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(kept, path, metadata={"zu": raw if isinstance(raw, str) else json.dumps(about)})


def left(tensors: dict[str, Tensor]) -> Tensor:
    return next(tensor for name, tensor in tensors.items() if name.endswith("left"))


def flip(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    left(tensors).view(torch.uint8).reshape(-1)[7] ^= 0x42


def scale(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    left(tensors).mul_(1.001)


def double(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    next(iter(tensors.values())).mul_(2)


def poison(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    left(tensors)[0, 0] = float("nan")


def scaled_step(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    about["sites"][0]["steps"][0]["scale"] = 2.0


def lose_a_tensor(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    del tensors[next(iter(tensors))]


def another_site(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    about["sites"][0]["tensor"] = about["sites"][0]["tensor"].replace("layers.0", "layers.1")


def no_sites(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    about["sites"] = []


def sites_text(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    about["sites"] = ["x"]


def later(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    about["format"] = 99


CASES: list[tuple[Change, str]] = [
    (flip, r"tensor '.*/left' is not what was written"),
    (scale, r"tensor '.*/left' is not what was written"),
    (poison, r"tensor '.*/left' is not what was written"),
    (scaled_step, r"its description is not what was written"),
    (lose_a_tensor, r"tensor '.*' is missing"),
    (another_site, r"its description is not what was written"),
    (no_sites, r"field 'sites' is empty"),
    (sites_text, r"it holds a text, not an object|field 'sites.0' holds a text"),
    (later, r"format 99, this version reads 2: update zu_framework"),
    (lambda t, a: "{", r"its description is not JSON"),
    (lambda t, a: "[]", r"holds a list, not an object"),
    (lambda t, a: "[" * 5000, r"its description is not JSON"),
    (lambda t, a: a.update(before=7), r"field 'before' is a number, not an object"),
    (lambda t, a: a["before"].update(tensors={"x": 1}), r"field 'before.tensors.x' is a number, not a text"),
    (lambda t, a: a["sites"][0].update(shape="32"), r"field 'sites.0.shape' is a text, not a list"),
    (lambda t, a: a["sites"][0].update(shape=[0, -1]), r"field 'sites.0.shape' is \[0, -1\]"),
    (lambda t, a: a["sites"][1].pop("layer"), r"field 'sites.1.layer' is missing"),
    (lambda t, a: a["sites"][0].update(before="abc"), r"field 'sites.0.before' is no digest"),
    (lambda t, a: a["sites"][0].update(steps=[]), r"field 'sites.0.steps' is empty"),
    (lambda t, a: a["sites"][0]["steps"][0].update(scale=None), r"field 'sites.0.steps.0.scale' is null"),
    (lambda t, a: a.update(format="two"), r"field 'format' is a text, not a whole number"),
    (lambda t, a: a.pop("digests"), r"field 'digests' is missing"),
]


@pytest.mark.parametrize(("change", "said"), CASES)
def test_apply_revert_and_export_refuse_it(
    checkpoint: Path, run: Path, tmp_path: Path, change: Change, said: str
) -> None:
    zu.apply(run, checkpoint, tmp_path / "edited")
    rewritten(run / "edit.safetensors", change)
    damaged = contents(run)
    for door in (
        lambda: zu.apply(run, checkpoint, tmp_path / "out"),
        lambda: zu.revert(run, tmp_path / "edited", tmp_path / "out"),
        lambda: zu.export_lora(run, tmp_path / "out"),
    ):
        with pytest.raises(RunFolderError, match="edit.safetensors .*(is damaged|has format).*"):
            door()
        with pytest.raises(RunFolderError, match=said):
            door()
    assert contents(run) == damaged
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edited", "run"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (poison, r"'.*/left' holds NaN or infinite entries"),
        (no_sites, r"field 'sites' is empty"),
        (
            lambda t, a: a["sites"][0].update(shape=[16, 96]),
            r"field 'sites.0.steps.0' changes a weight of shape",
        ),
    ],
)
def test_even_where_its_digests_were_made_to_fit(
    checkpoint: Path, run: Path, tmp_path: Path, change: Change, said: str
) -> None:
    rewritten(run / "edit.safetensors", change, consistently=True)
    with pytest.raises(RunFolderError, match=said):
        zu.apply(run, checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_edit_of_a_site_that_is_not_there_is_refused(checkpoint: Path, run: Path, tmp_path: Path) -> None:
    def elsewhere(tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        about["sites"][0]["tensor"] = "model.layers.9.mlp.down_proj.weight"
        about["sites"][0]["before"] = about["sites"][0]["before"][:-3] + "000"

    (run / "undo.safetensors").unlink()
    rewritten(run / "edit.safetensors", elsewhere, consistently=True)
    with pytest.raises(zu.ModelError, match=r"no tensor is the 'model.layers.9"):
        zu.apply(run, checkpoint, tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 7, 8, 100, -1])
def test_a_file_that_was_cut_off_is_refused(checkpoint: Path, run: Path, tmp_path: Path, cut: int) -> None:
    path = run / "edit.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunFolderError, match="edit.safetensors is damaged or no safetensors file"):
        zu.apply(run, checkpoint, tmp_path / "out")


def test_a_foreign_file_is_refused(checkpoint: Path, run: Path, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, run / "edit.safetensors")
    with pytest.raises(RunFolderError, match="was not written by zu_framework"):
        zu.apply(run, checkpoint, tmp_path / "out")


@pytest.mark.parametrize("damage", ["flip", "another", "cut", "swapped"])
def test_a_damaged_undo_record_is_never_put_back(
    checkpoint: Path, run: Path, tmp_path: Path, damage: str
) -> None:
    zu.apply(run, checkpoint, tmp_path / "edited")
    path = run / "undo.safetensors"
    if damage == "flip":
        rewritten(path, double)
    elif damage == "another":
        other = run_on(checkpoint, tmp_path / "other", seed=5)
        shutil.copyfile(other / "undo.safetensors", path)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        tensors, fields = load_tensors(path)
        first, second = sorted(tensors)
        save_tensors(
            path, {first: tensors[second], second: tensors[first]}, {"format": 2, "edit": fields.text("edit")}
        )
    with pytest.raises(RunFolderError, match="undo.safetensors (is damaged|belongs to another edit)"):
        zu.revert(run, tmp_path / "edited", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_originals_of_other_files_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    run = run_on(checkpoint, tmp_path / "run", "bf16")
    zu.apply(run, checkpoint, tmp_path / "edited")
    (path,) = run.glob("originals-*.safetensors")
    rewritten(path, double)
    with pytest.raises(RunFolderError, match="originals-.* is damaged"):
        zu.revert(run, tmp_path / "edited", tmp_path / "out")


def test_a_missing_edit_and_a_missing_folder_are_named(checkpoint: Path, run: Path, tmp_path: Path) -> None:
    (run / "edit.safetensors").unlink()
    with pytest.raises(RunFolderError, match="edit.safetensors does not exist"):
        zu.apply(run, checkpoint, tmp_path / "out")
    with pytest.raises(RunFolderError, match="run folder '.*nowhere' does not exist"):
        zu.apply(tmp_path / "nowhere", checkpoint, tmp_path / "out")


def test_the_digest_of_a_description_does_not_depend_on_its_layout() -> None:
    assert json_digest({"b": [1, 2.5], "a": "é"}) == json_digest(
        json.loads('{"a": "\\u00e9", "b": [1, 2.5]}')
    )
