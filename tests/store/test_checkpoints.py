"""`apply` and `revert` work on files: only the edited tensors differ, and everything comes back, byte for byte."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.store.edits import DTYPES, contents, differing, random_edit, rewrite, run_on, stored
from zu_framework import LanguageModel, ModelError, RunFolderError
from zu_framework.problem import Site
from zu_framework.store.run_edit import load_edit
from zu_framework.store.shards import Checkpoint
from zu_framework.testing import tiny_model

EDITED = {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 2)}
LEDGER = "ledger/ledger.json"


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of one's own, that a test may change."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def as_dtype(folder: Path, name: str) -> None:
    """Store the weights in a dtype; mixed: norms in f32, one edited weight in f32, the rest in bf16."""
    tensors = stored(folder)
    wide = {n for n in tensors if "norm" in n or n.startswith("model.layers.2.mlp.down_proj")}
    for key, tensor in tensors.items():
        kept = torch.float32 if name == "mixed" and key in wide else DTYPES.get(name, torch.bfloat16)
        tensors[key] = tensor.to(kept)
    rewrite(folder, tensors)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = {"f32": "float32", "f16": "float16"}.get(name, "bfloat16")
    (folder / "config.json").write_text(json.dumps(config))


def there_and_back(folder: Path, run: Path, tmp_path: Path, edited: set[str]) -> list[str]:
    """Put the edit on and take it off; answers the notes of `apply`."""
    notes = zu.apply(run, folder, tmp_path / "edited")
    assert differing(folder, tmp_path / "edited") == edited
    assert zu.revert(run, tmp_path / "edited", tmp_path / "back") == []
    assert contents(tmp_path / "back") == contents(folder)
    rest = contents(tmp_path / "edited")
    assert rest.pop(LEDGER)
    weights = {name for name in rest if name.endswith(".safetensors")}
    assert {n for n, held in contents(folder).items() if rest.get(n) != held} <= weights
    assert {len(held) for n, held in contents(folder).items()} == {len(held) for held in rest.values()}
    return notes


@pytest.mark.parametrize("made_in", ["f32", "bf16", "f16"])
@pytest.mark.parametrize("kept_in", ["f32", "bf16", "f16", "mixed"])
def test_dtypes_of_run_and_files_may_differ(folder: Path, tmp_path: Path, kept_in: str, made_in: str) -> None:
    as_dtype(folder, kept_in)
    run = run_on(folder, tmp_path / "run", made_in)
    notes = there_and_back(folder, run, tmp_path, EDITED)
    assert bool(notes) == (kept_in != made_in)
    assert all(" edited in " in note and "rounding takes at most" in note for note in notes)


def test_a_coarse_run_changes_a_fine_checkpoint_by_its_update_alone(folder: Path, tmp_path: Path) -> None:
    run = run_on(folder, tmp_path / "run", "bf16")
    zu.apply(run, folder, tmp_path / "edited")
    site = load_edit(run).sites[0]
    before, after = (stored(f)[site.tensor].double() for f in (folder, tmp_path / "edited"))
    torch.testing.assert_close(after - before, site.steps[0].delta(before), rtol=0, atol=1e-6)


def test_shards_extra_tensors_and_extra_files_stay(folder: Path, tmp_path: Path) -> None:
    tensors = stored(folder)
    tensors["model.mtp.0.head.weight"] = torch.randn(5, 7).to(torch.float16)
    tensors["empty"] = torch.empty(0)
    rewrite(folder, tensors, shards=3)
    for name, text in {
        "README.md": "read",
        "LICENSE": "free",
        "tokenizer.model": "\x00bin",
        "sub/a.txt": "x",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    run = run_on(folder, tmp_path / "run")
    notes = there_and_back(folder, run, tmp_path, EDITED)
    assert notes == ["copied as they are, look at them before you publish: LICENSE, README.md, sub/a.txt"]


def test_links_are_followed_and_modes_follow_the_umask(folder: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    shutil.move(folder / "model.safetensors", blob)
    (folder / "model.safetensors").symlink_to(blob)
    blob.chmod(0o600)
    run = run_on(folder, tmp_path / "run")
    zu.apply(run, folder, tmp_path / "edited")
    written = tmp_path / "edited" / "model.safetensors"
    (tmp_path / "by_umask").write_text("")
    assert not written.is_symlink()
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE((tmp_path / "by_umask").stat().st_mode)
    assert differing(folder, tmp_path / "edited") == EDITED


def test_names_in_files_may_lack_the_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_model("gpt2").save(folder)
    rewrite(folder, {n.removeprefix("transformer."): t for n, t in stored(folder).items()})
    run = run_on(folder, tmp_path / "run")
    there_and_back(folder, run, tmp_path, {f"h.{layer}.mlp.c_proj.weight" for layer in (0, 2)})


def test_both_copies_of_a_tied_weight_are_edited(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_model("llama", tie_word_embeddings=True).save(folder)
    tensors = stored(folder)
    assert "lm_head.weight" not in tensors
    rewrite(folder, {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    lm = LanguageModel.from_pretrained(str(folder), device="cpu")
    run = random_edit(lm, [Site("lm_head", -1, "")], model=str(folder)).save(tmp_path / "run")
    there_and_back(folder, run, tmp_path, {"lm_head.weight", "model.embed_tokens.weight"})


def test_an_edit_made_in_memory_fits_the_files_of_its_model(folder: Path, tmp_path: Path) -> None:
    lm = tiny_model("llama")
    lm.save(tmp_path / "saved")
    run = random_edit(lm, [lm.site(1)]).save(tmp_path / "run")
    there_and_back(tmp_path / "saved", run, tmp_path, {"model.layers.1.mlp.down_proj.weight"})


def test_memory_and_files_have_one_fingerprint(checkpoint: Path) -> None:
    lm = LanguageModel.from_pretrained(str(checkpoint), device="cpu")
    found = Checkpoint.open(checkpoint).fingerprint
    assert found.tensors == lm.tensor_fingerprint().tensors
    assert found.value == lm.fingerprint()


def test_another_version_of_transformers_does_not_lock_the_undo(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_on(folder, tmp_path / "run")
    zu.apply(run, folder, tmp_path / "edited")
    from transformers import PretrainedConfig

    for name in ("to_dict", "to_diff_dict"):
        known = getattr(PretrainedConfig, name)
        monkeypatch.setattr(
            PretrainedConfig,
            name,
            lambda self, known=known: {**known(self), "a_new_default": 7, "rms_norm_eps": 1},
        )
    assert zu.revert(run, tmp_path / "edited", tmp_path / "back") == []
    assert contents(tmp_path / "back") == contents(folder)
    # saved again by that version: other keys in config.json, the same tensors
    config = json.loads((tmp_path / "edited" / "config.json").read_text())
    (tmp_path / "edited" / "config.json").write_text(json.dumps({**config, "a_new_default": 7}))
    assert zu.revert(run, tmp_path / "edited", tmp_path / "again") == []


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


def test_other_copies_of_the_weights_are_left_out(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    save_file({"w": stored(folder)["model.layers.0.mlp.down_proj.weight"]}, folder / "other.safetensors")
    save_file({"w": torch.ones(3)}, folder / "harmless.safetensors")
    (folder / ".git").mkdir()
    (folder / ".git" / "object").write_text("old weights")
    run = run_on(folder, tmp_path / "run")
    notes = zu.apply(run, folder, tmp_path / "edited")
    assert notes[0].endswith("would undo the edit: other.safetensors, pytorch_model.bin, .git")
    assert (
        not {".git/object", "pytorch_model.bin", "other.safetensors"} & contents(tmp_path / "edited").keys()
    )
    assert (tmp_path / "edited" / "harmless.safetensors").is_file()
