"""At the door: what cannot be loaded or edited is refused before a weight is read, by file, tensor or key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, T5ForConditionalGeneration

from zu_framework import LanguageModel, ModelError
from zu_framework.models import check_folder, load_tokenizer
from zu_framework.testing import FAMILIES, tiny_model, tiny_tokenizer


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    lm = tiny_model("llama")
    lm.model.save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    lm.tokenizer.save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    return tmp_path / "shards"


def change(folder: Path, **entries: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def refused(path: Path | str, message: str) -> None:
    """By `check_folder`, so by `zu check`, and by the loader alike."""
    for door in (check_folder, LanguageModel.from_pretrained):
        with pytest.raises(ModelError, match=message):
            door(str(path))


def test_sound_folders_pass(folder: Path, sharded: Path) -> None:
    for path in (folder, sharded):
        found = check_folder(str(path))
        assert (found.model_type, found.num_layers, found.hidden_size) == ("llama", 3, 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes_as_it_is_saved(family: str, tmp_path: Path) -> None:
    tiny_model(family).save(tmp_path / "model")
    assert check_folder(str(tmp_path / "model")).num_layers == 3
    LanguageModel.from_pretrained(str(tmp_path / "model"))


# ------------------------------------------------------------------------------------------------ quantised


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "gptq", "bits": 4, "desc_act": False}, "gptq"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"bits": 4}, "by an unnamed method"),
        ("4bit", "a string"),
    ],
)
@pytest.mark.parametrize("where", ["quantization_config", "compression_config", "text_config"])
def test_a_quantised_checkpoint_is_refused_with_the_way_out(
    settings: Any, method: str, where: str, folder: Path
) -> None:
    entries = {where: settings} if where != "text_config" else {where: {"quantization_config": settings}}
    change(folder, **entries)
    refused(folder, rf"config.json: the checkpoint is quantised \({method}\).*GGUF.*dequantize")


def test_packed_tensors_without_a_word_in_the_config_are_seen(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    packed = {**tensors, "model.layers.0.mlp.up_proj.qweight": torch.zeros(4, 4, dtype=torch.int32)}
    save_file(packed, file, metadata={"format": "pt"})
    refused(folder, r"tensor 'model.layers.0.mlp.up_proj.qweight' \(I32\) is quantised")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({**tensors, name: tensors[name].to(torch.float8_e4m3fn)}, file, metadata={"format": "pt"})
    refused(folder, rf"tensor '{name}' \(F8_E4M3\) is quantised")
    save_file(tensors, file, metadata={"format": "pt"})
    (folder / "hf_quant_config.json").write_text("{}")
    refused(folder, "hf_quant_config.json: the checkpoint is quantised")


# ------------------------------------------------------------------------------------------------ files


def test_a_missing_shard_a_pointer_and_half_a_file_are_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("model-*"))[1]
    whole = shard.read_bytes()
    shard.unlink()
    refused(
        sharded, rf"{shard.name}: missing; model.safetensors.index.json says that it holds '.*': copy it here"
    )
    shard.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 1234\n")
    refused(sharded, rf"{shard.name}: only a Git LFS pointer.*git lfs pull")
    shard.write_bytes(whole[: len(whole) // 2])
    refused(sharded, rf"{shard.name}: damaged or no safetensors file")
    shutil.copy(sorted(sharded.glob("model-*"))[0], shard)
    refused(sharded, rf"{shard.name}: holds no tensor '.*', as model.safetensors.index.json says")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "no index of weights"),
        ("[]", "no index of weights"),
        ("{}", "no index of weights"),
        ('{"weight_map": 3}', "no index of weights"),
        ('{"weight_map": {"lm_head.weight": "../outside.safetensors"}}', "outside the folder"),
        ("[" * 100_000, "no index of weights"),
    ],
)
def test_a_damaged_index_is_refused(text: str, message: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(text)
    refused(sharded, message)


def test_pickles_other_names_and_nothing_are_told_apart(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.rename(folder / "weights.safetensors")
    refused(folder, "but weights.safetensors: transformers would not find its weights; rename it")
    (folder / "weights.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"only pickled weights \(pytorch_model.bin\), which are never loaded")
    (folder / "pytorch_model.bin").unlink()
    refused(folder, "the weights are missing")
    (folder / "config.json").unlink()
    refused(folder, "no config.json: this is not a checkpoint folder")


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    change(folder, intermediate_size=64)
    refused(folder, r"tensor 'model.layers.0.mlp.\w+.weight' has shape \(.*\), config.json asks for \(")


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.down_proj.weight", "model.norm.weight", "lm_head.weight"]
)
def test_a_missing_tensor_is_named(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    refused(folder, f"the safetensors lack 1 tensors of the model, '{name}' first: copy the checkpoint again")


def test_more_layers_than_the_files_hold_are_refused(folder: Path) -> None:
    change(folder, num_hidden_layers=5)
    refused(folder, "lack .* tensors of the model, 'model.layers.3.input_layernorm.weight' first")


def test_a_link_to_nothing_is_called_one(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../blobs/1234")
    refused(folder, "model.safetensors: a link to ../blobs/1234, which is not there: download")
    (folder / "away").symlink_to("nowhere")
    refused(folder / "away", "away' is a link to nowhere, which is not there")


def test_a_context_beyond_the_position_embeddings_is_refused(tmp_path: Path) -> None:
    tiny_model("gpt2").save(tmp_path / "model")
    change(tmp_path / "model", n_positions=4096)
    refused(
        tmp_path / "model",
        r"'transformer.wpe.weight' has shape \(128, 32\), config.json asks for \(4096, 32\)",
    )


def test_a_tokenizer_beyond_the_embedding_is_refused_and_an_unused_special_token_is_not(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder))
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    check_folder(str(folder))
    tokenizer.add_tokens(["Quinania"])
    tokenizer.save_pretrained(folder)
    refused(folder, "config.json's vocab_size is 395, and the tokenizer has 1 tokens beyond it, 'Quinania'")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("tokenizer.json", "its tokenizer cannot be loaded"),
        ("tokenizer*", "no tokenizer.json: copy the model's tokenizer files into this folder"),
    ],
)
def test_a_missing_tokenizer_is_said(files: str, message: str, folder: Path) -> None:
    for file in folder.glob(files):
        file.unlink()
    refused(folder, message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json: not valid JSON: .*; copy it again"),
        ("tokenizer.json", "", "tokenizer.json: not valid JSON: "),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: holds an empty list, not an object: copy it"),
        ("tokenizer_config.json", "null", "tokenizer_config.json: holds null, not an object"),
        ("generation_config.json", "[1]", "generation_config.json: holds a list, not an object"),
    ],
)
def test_the_file_that_is_damaged_is_named(name: str, text: str, message: str, folder: Path) -> None:
    (folder / name).write_text(text)
    refused(folder, message)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_cannot_be_read_is_not_called_damaged(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/proc/self/mem")
    refused(folder, f"{name}: cannot be read: Input/output error$")


# ------------------------------------------------------------------------------------------------ config.json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("null", "holds null, not an object"),
        ("[]", "holds an empty list, not an object"),
        ('"llama"', "holds a string, not an object"),
        ("7", "holds a number, not an object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        ('{"model_type": 3}', "model_type is a number, not a string"),
        ('{"model_type": "no-such-model"}', "its config cannot be loaded"),
        ("{}", "its config cannot be loaded"),
    ],
)
def test_a_damaged_config_is_refused(text: str | bytes, message: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(folder, message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "auto_map is null, not an object of class names"),
        (["a.B"], "auto_map is a list"),
        ([], "auto_map is an empty list"),
        ({}, "auto_map is an empty object"),
        ("a.B", "auto_map is a string"),
        (True, "auto_map is true"),
        (
            {"AutoModelForCausalLM": "a.B"},
            r"auto_map brings code of its own \(a.B\).*model.trust_remote_code=true",
        ),
        ({"AutoModelForCausalLM": None}, "auto_map brings code of its own"),
    ],
)
def test_code_is_never_run_whatever_auto_map_is(code: Any, message: str, folder: Path) -> None:
    change(folder, auto_map=code)
    refused(folder, message)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"num_hidden_layers": -1}, r"the config of model type 'llama' has no num_hidden_layers \(-1\)"),
        ({"hidden_size": None}, "its config cannot be loaded: .*'hidden_size'"),
        ({"num_attention_heads": 0}, "its config cannot be loaded: ZeroDivisionError"),
        (
            {"num_hidden_layers": "three"},
            "its config cannot be loaded: .*'num_hidden_layers': .*expected int",
        ),
    ],
)
def test_values_that_make_no_model_are_refused(entries: dict[str, Any], message: str, folder: Path) -> None:
    change(folder, **entries)
    refused(folder, message)


def test_encoders_and_encoder_decoders_are_refused_at_the_door(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    small = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    bert = AutoModelForCausalLM.from_config(AutoConfig.for_model("bert", **small, num_attention_heads=4))
    t5 = T5ForConditionalGeneration(
        AutoConfig.for_model(
            "t5", vocab_size=len(tokenizer), d_model=32, d_ff=48, num_layers=2, num_heads=4, d_kv=8
        )
    )
    for name, model, why in (
        ("bert", bert, "it is an encoder"),
        ("t5", t5, "it has an encoder and a decoder"),
    ):
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        refused(tmp_path / name, f"model type '{name}' is no causal language model: {why}")
