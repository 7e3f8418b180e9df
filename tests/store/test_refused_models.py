"""What `apply` and `revert` refuse, and that nothing is written then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import zu_framework as zu
from tests.store.edits import as_dtype, contents, random_edit, rewrite, run_on, stored
from zu_framework import LanguageModel, ModelError, RunFolderError
from zu_framework.testing import tiny_model


def change_a_weight(folder: Path) -> None:
    tensors = stored(folder)
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    rewrite(folder, tensors)


def change_the_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))


def round_the_weights(folder: Path) -> None:
    as_dtype(folder, "bf16")


def bring_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def lose_a_shard(folder: Path) -> None:
    rewrite(folder, stored(folder), shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()


def cut_the_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def be_another_model(folder: Path) -> None:
    shutil.rmtree(folder)
    tiny_model("gpt2").save(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            change_a_weight,
            r"not the model .*: 1 of 30 tensors differ, 'model.layers.1.mlp.up_proj.weight' first \(the "
            r"edit was made with transformers",
        ),
        (change_the_config, r"config.json has rms_norm_eps 0.1, it was 1e-06"),
        (round_the_weights, r"by dtype alone"),
        (bring_an_adapter, r"holds a PEFT adapter \(adapter_config.json\): merge the adapter first"),
        (lose_a_shard, r"model-00002-of-00003.safetensors: missing; .* copy it here"),
        (cut_the_file, r"model.safetensors: damaged"),
        (be_another_model, r"is not the model that this edit was made on"),
    ],
)
def test_another_model_is_refused_and_nothing_written(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    run = run_on(folder, tmp_path / "run")
    change(folder)
    before = contents(run)
    with pytest.raises(ModelError, match=said):
        zu.apply(run, folder, tmp_path / "out")
    with pytest.raises(ModelError):
        zu.revert(run, folder, tmp_path / "out")
    assert contents(run) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "run"]


def test_an_edit_is_put_on_once(folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run")
    zu.apply(run, folder, tmp_path / "edited")
    shutil.copytree(tmp_path / "edited", tmp_path / "bare", ignore=shutil.ignore_patterns("ledger"))
    for model in ("edited", "bare"):
        with pytest.raises(ModelError, match="carries this edit already"):
            zu.apply(run, tmp_path / model, tmp_path / "out")


def test_an_edit_that_changes_nothing_is_refused(folder: Path, tmp_path: Path) -> None:
    lm = LanguageModel.from_pretrained(str(folder), device="cpu")
    run = random_edit(lm, [lm.site(0)], model=str(folder), size=0.0).save(tmp_path / "run")
    with pytest.raises(RunFolderError, match="changes nothing"):
        zu.apply(run, folder, tmp_path / "out")
    with pytest.raises(RunFolderError, match="changes nothing"):
        zu.export_lora(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_private_folder_that_is_not_there_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="private folder 'nowhere' does not exist"):
        zu.revert(tmp_path / "run", folder, tmp_path / "out", private="nowhere")
    assert not (tmp_path / "out").exists()


def test_without_undo_a_revert_is_refused(folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run", undo=False)
    assert "keeps no undo record" in zu.apply(run, folder, tmp_path / "edited")[-1]
    with pytest.raises(RunFolderError, match="kept no undo record"):
        zu.revert(run, tmp_path / "edited", tmp_path / "back")


def test_a_run_folder_without_the_originals_of_these_files_says_so(folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run", "bf16")
    shutil.copytree(run, tmp_path / "copy")
    zu.apply(run, folder, tmp_path / "edited")
    with pytest.raises(ModelError, match="holds no originals of these files: revert by the run folder that"):
        zu.revert(tmp_path / "copy", tmp_path / "edited", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_model_changed_after_the_edit_is_not_reverted(folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run")
    zu.apply(run, folder, tmp_path / "edited")
    shutil.rmtree(tmp_path / "edited" / "ledger")
    change_a_weight(tmp_path / "edited")
    with pytest.raises(ModelError, match=r"once reverted 1 of 30 tensors differ from the model before it"):
        zu.revert(run, tmp_path / "edited", tmp_path / "back")
