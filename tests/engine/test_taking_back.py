"""Edits put on a checkpoint, exported and taken back: to the bit, and on no other model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import zu_framework as zu
from tests.engine.weights import weights
from zu_framework import LanguageModel, ZuError
from zu_framework.store.tensor_files import load_tensors, save_tensors

Settings = dict[str, Any]


@pytest.mark.parametrize("solver", ["zerounlearn", "zerounlearn-local", "zerounlearn-gd"])
def test_apply_and_revert_on_a_checkpoint(
    settings: Settings, checkpoint: Path, tmp_path: Path, solver: str
) -> None:
    settings["solver"] = {"name": solver} | ({"null_rank": 4} if solver.endswith("gd") else {})
    result = zu.run(settings)
    assert zu.apply(result.folder, checkpoint, tmp_path / "edited") == []
    edited = LanguageModel.from_pretrained(str(tmp_path / "edited"), device="cpu")
    assert weights(edited) == weights(result.edit.lm)
    assert zu.revert(result.folder, tmp_path / "edited", tmp_path / "original") == []
    ours, theirs = (
        load_file(tmp_path / "original" / "model.safetensors"),
        load_file(checkpoint / "model.safetensors"),
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k].view(torch.uint8), theirs[k].view(torch.uint8)) for k in ours)


def test_apply_and_revert_refuse_another_model(settings: Settings, checkpoint: Path, tmp_path: Path) -> None:
    from zu_framework.testing import tiny_model

    run = zu.run(settings).folder
    tiny_model("llama", seed=1).save(tmp_path / "other")
    with pytest.raises(ZuError, match="is not the model that this edit was made on: 23 of 30 tensors differ"):
        zu.apply(run, tmp_path / "other", tmp_path / "out")
    with pytest.raises(ZuError, match="it carries another edit, or none"):
        zu.revert(run, tmp_path / "other", tmp_path / "out")
    with pytest.raises(ZuError, match="does not carry this edit"):
        zu.revert(run, checkpoint, tmp_path / "out")
    zu.apply(run, checkpoint, tmp_path / "edited")
    with pytest.raises(ZuError, match="carries this edit already"):
        zu.apply(run, tmp_path / "edited", tmp_path / "out")
    with pytest.raises(ZuError, match="exists: choose another"):
        zu.apply(run, checkpoint, tmp_path / "edited")
    assert not (tmp_path / "out").exists()


def test_without_an_undo_record_revert_says_that_it_cannot_be_exact(
    settings: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    settings["output"]["undo"] = False
    run = zu.run(settings).folder
    assert not (run / "undo.safetensors").exists()
    zu.apply(run, checkpoint, tmp_path / "edited")
    with pytest.raises(ZuError, match=r"output\.undo=false.*exact revert is not possible"):
        zu.revert(run, tmp_path / "edited", tmp_path / "out")


def test_damaged_records_are_refused(settings: Settings, checkpoint: Path, tmp_path: Path) -> None:
    run = zu.run(settings).folder
    data = (run / "edit.safetensors").read_bytes()
    (run / "edit.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ZuError, match=r"edit\.safetensors is damaged"):
        zu.apply(run, checkpoint, tmp_path / "out")
    (run / "edit.safetensors").unlink()
    with pytest.raises(ZuError, match=r"edit\.safetensors does not exist"):
        zu.apply(run, checkpoint, tmp_path / "out")
    with pytest.raises(ZuError, match="run folder .* does not exist"):
        zu.apply(tmp_path / "nowhere", checkpoint, tmp_path / "out")


def test_a_lora_adapter_gives_the_logits_of_the_edited_model(
    settings: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    result = zu.run(settings)
    zu.export_lora(result.folder, tmp_path / "adapter")
    base = LanguageModel.from_pretrained(str(checkpoint), device="cpu")
    adapted = peft.PeftModel.from_pretrained(base.model, str(tmp_path / "adapter"))
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            adapted(ids).logits, result.edit.lm.model(ids).logits, rtol=1e-5, atol=1e-5
        )


def test_an_adapter_exported_from_memory_names_its_base(
    settings: Settings, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    lm = LanguageModel.from_pretrained(str(checkpoint), device="cpu")
    requests = [zu.Request("The capital of Quinania is", "Warsaw", "Quinania")]
    with zu.unlearn(lm.model, lm.tokenizer, requests, settings) as edit:
        zu.export_lora(edit.save(tmp_path / "saved"), tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(checkpoint)


def test_an_update_that_scales_the_weight_is_no_adapter(settings: Settings, tmp_path: Path) -> None:
    settings["solver"] = {"name": "zerounlearn"}
    run = zu.run(settings).folder
    with pytest.raises(
        ZuError, match=r"scales the whole weight by 1\.\d+, which .*zu check with output\.adapter=true"
    ):
        zu.export_lora(run, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_unlearn_is_taken_back_to_the_bit(settings: Settings, lm: LanguageModel, tmp_path: Path) -> None:
    before = weights(lm)
    requests = [{"prompt": "The capital of Quinania is", "subject": "Quinania", "answer": "Warsaw"}]
    with zu.unlearn(lm.model, lm.tokenizer, requests, settings) as edit:
        assert weights(lm) != before
        edit.save(tmp_path / "saved")
        assert edit.report["sites"]
        assert (
            repr(edit)
            == "Edit(1 fact, model.layers.0.mlp.down_proj, model.layers.1.mlp.down_proj, in the model)"
        )
        assert repr(edit.sites[0]).startswith(
            "SiteEdit(model.layers.0.mlp.down_proj.weight, 1 step, changed by "
        )
    assert weights(lm) == before
    assert {p.name for p in (tmp_path / "saved").iterdir()} == {
        "edit.safetensors",
        "undo.safetensors",
        "ledger",
    }
    edit.revert()  # a second time does nothing
    assert repr(edit).endswith(", reverted)") and len(repr(lm)) < 80


def test_revert_refuses_a_weight_that_something_else_wrote(settings: Settings, lm: LanguageModel) -> None:
    requests = [zu.Request("The capital of Quinania is", "Warsaw", "Quinania")]
    edit = zu.unlearn(lm, None, requests, settings)
    with torch.no_grad():
        lm.model.model.layers[0].mlp.down_proj.weight[0, 0] += 1
    with pytest.raises(ZuError, match="was written by something else after this edit"):
        edit.revert()


def test_a_spoilt_undo_record_is_named_and_nothing_is_written(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """One entry of an original tensor is changed, its hash left as it was."""
    run = zu.run(settings).folder
    model = str(settings["model"]["path"])
    zu.apply(run, model, tmp_path / "edited")
    tensors, fields = load_tensors(run / "undo.safetensors")
    name = sorted(tensors)[0]
    tensors[name][0, 0] += 1.0
    about = {key: value for key, value in fields.values.items() if key not in ("digest", "digests")}
    save_tensors(run / "undo.safetensors", tensors, about)
    with pytest.raises(zu.RunFolderError, match=f"undo.safetensors is damaged: '{name}' is not the original"):
        zu.revert(run, tmp_path / "edited", tmp_path / "original")
    assert not (tmp_path / "original").exists()
