"""`apply` and `revert` work on files: only the edited tensors differ, and everything comes back, byte for byte."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.store.edits import as_dtype, contents, differing, random_edit, rewrite, run_on, stored
from zu_framework import LanguageModel
from zu_framework.problem import Site
from zu_framework.store.run_edit import load_edit
from zu_framework.store.shards import Checkpoint
from zu_framework.testing import tiny_model

EDITED = {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 2)}
LEDGER = "ledger/ledger.json"


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
