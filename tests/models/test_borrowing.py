"""Models that a caller holds: adapters, compiled and quantised ones, training mode, wrong arguments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from transformers import AutoConfig, T5ForConditionalGeneration

import zu_framework as zu
from tests.store.edits import run_on
from zu_framework import LanguageModel, ModelError
from zu_framework.models import borrowed
from zu_framework.testing import TEXTS, tiny_model, tiny_tokenizer

FACTS = [{"prompt": "The capital of France is", "subject": "France", "answer": "Paris"}]


def unlearn(model: Any, tokenizer: Any, tmp_path: Path) -> zu.Edit:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    settings = [f"background.path={text}", "locator.name=fixed", "locator.layers=[0]", "target.steps=2"]
    return zu.unlearn(model, tokenizer, FACTS, "zerounlearn-local", [*settings, "collector.contexts=none"])


def compiled(way: str) -> Any:
    model = tiny_model("llama").model
    if way == "torch.compile(model)":
        return torch.compile(model, backend="eager")
    if way == "model.compile()":
        model.compile(backend="eager")
    elif way == "forward":
        model.forward = torch.compile(model.forward, backend="eager")
    elif way == "a layer in place":
        model.model.layers[1].compile(backend="eager")
    else:
        model.model.layers[0] = torch.compile(model.model.layers[0], backend="eager")
    return model


WAYS = ["torch.compile(model)", "model.compile()", "forward", "a layer in place", "a layer replaced"]


@pytest.mark.parametrize("way", WAYS)
def test_a_compiled_model_is_edited_as_the_plain_one_is_and_stays_compiled(way: str, tmp_path: Path) -> None:
    plain = tiny_model("llama")
    expected = unlearn(plain.model, plain.tokenizer, tmp_path)
    model = compiled(way)
    parts = [(name, id(module), module._compiled_call_impl) for name, module in model.named_modules()]
    own = model.__dict__.get("forward")
    edit = unlearn(model, plain.tokenizer, tmp_path)
    assert [one.site.module for one in edit.sites] == ["model.layers.0.mlp.down_proj"]
    assert edit.about["fingerprint_after"] == expected.about["fingerprint_after"]
    assert [(n, id(m), m._compiled_call_impl) for n, m in model.named_modules()] == parts
    assert model.__dict__.get("forward") is own
    edit.revert()
    weight = model.model.layers[0].mlp.down_proj.weight
    assert torch.equal(weight, tiny_model("llama").model.model.layers[0].mlp.down_proj.weight)


def test_torch_compile_is_unwrapped_and_what_is_compiled_in_place_is_refused_by_name() -> None:
    tokenizer = tiny_tokenizer()
    model = compiled("torch.compile(model)")
    assert LanguageModel.wrap(model, tokenizer).model is model._orig_mod
    for way, where in (("model.compile()", "the model"), ("a layer in place", "module 'model.layers.1'")):
        with pytest.raises(ModelError, match=f"{where} was compiled in place"):
            LanguageModel.wrap(compiled(way), tokenizer)


@pytest.mark.parametrize("fails", [False, True])
def test_every_module_gets_its_mode_back(fails: bool) -> None:
    model = tiny_model("llama").model.train()
    model.model.layers[0].eval()  # a part that its owner keeps frozen
    modes = [module.training for module in model.modules()]
    with pytest.raises(KeyError) if fails else borrowed(model) as plain:
        if fails:
            with borrowed(model):
                raise KeyError
        assert not any(module.training for module in plain.modules())
    assert [module.training for module in model.modules()] == modes


# ------------------------------------------------------------------------------------------------ adapters


@pytest.mark.parametrize("targets", [["q_proj"], ["down_proj"], "all-linear"])
def test_a_peft_model_is_refused_until_it_is_merged(targets: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    settings = {"r": 2, "target_modules": targets, "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    plain = tiny_model("llama")
    model = peft.get_peft_model(plain.model, peft.LoraConfig(**settings))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for given in (model, model.get_base_model()):
        with pytest.raises(ModelError, match="PEFT adapter.*merge the adapter first.*merge_and_unload"):
            unlearn(given, plain.tokenizer, tmp_path)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    edit = unlearn(model.merge_and_unload(), plain.tokenizer, tmp_path)
    assert [one.site.module for one in edit.sites] == ["model.layers.0.mlp.down_proj"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_folder_with_an_adapter_is_refused_beside_base_weights_too(beside: bool, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    plain = tiny_model("llama")
    folder = tmp_path / "model"
    plain.save(tmp_path / "plain")
    run = run_on(tmp_path / "plain", tmp_path / "run")
    if beside:
        plain.save(folder)
    settings = peft.LoraConfig(r=2, target_modules=["down_proj"], task_type="CAUSAL_LM")
    peft.get_peft_model(plain.model, settings).save_pretrained(folder)
    with pytest.raises(ModelError, match="merge the adapter first"):
        zu.models.check_folder(str(folder))
    with pytest.raises(ModelError, match="merge the adapter first"):
        zu.apply(run, folder, tmp_path / "edited")
    assert not (tmp_path / "edited").exists()


# ------------------------------------------------------------------------------------------------ other wrappers


class Packed(nn.Linear):
    """A linear map whose weight is packed, as bitsandbytes keeps it."""

    def __init__(self) -> None:
        super().__init__(4, 4, bias=False)
        self.weight = nn.Parameter(torch.zeros(768, 1, dtype=torch.uint8), requires_grad=False)


def test_quantised_offloaded_and_spread_models_are_refused() -> None:
    tokenizer = tiny_tokenizer()
    packed = tiny_model("llama").model
    packed.model.layers[1].mlp.down_proj = Packed()
    with pytest.raises(ModelError, match="'model.layers.1.mlp.down_proj.weight' is quantised.*uint8"):
        LanguageModel.wrap(packed, tokenizer)
    said = tiny_model("llama").model
    said.config.quantization_config = {"quant_method": "awq"}
    with pytest.raises(ModelError, match=r"the model is quantised \(awq\)"):
        LanguageModel.wrap(said, tokenizer)
    away = tiny_model("llama").model
    away.model.layers[1].mlp.down_proj.to_empty(device="meta")
    with pytest.raises(ModelError, match="'model.layers.1.mlp.down_proj.weight' is not in memory"):
        LanguageModel.wrap(away, tokenizer)
    mapped = torch.ao.nn.quantized.dynamic.Linear(48, 32)
    small = tiny_model("llama").model
    small.model.layers[1].mlp.down_proj = mapped
    with pytest.raises(ModelError, match="'model.layers.1.mlp.down_proj' is quantised .Linear."):
        LanguageModel.wrap(small, tokenizer)
    with pytest.raises(ModelError, match=r"wrapped in DataParallel: give `model.module`"):
        LanguageModel.wrap(nn.DataParallel(tiny_model("llama").model), tokenizer)


@pytest.mark.parametrize("way", ["pruned", "weight norm"])
def test_a_weight_that_is_made_from_others_is_refused_and_not_lost(way: str) -> None:
    model = tiny_model("llama").model
    projection = model.model.layers[1].mlp.down_proj
    if way == "pruned":
        prune.l1_unstructured(projection, "weight", 0.5)
    else:
        torch.nn.utils.parametrizations.weight_norm(projection)
    lm = LanguageModel.wrap(model, tiny_tokenizer())
    with pytest.raises(ModelError, match="has no parameter 'weight' of its own: .*make that permanent first"):
        lm.weight(lm.site(1))


def test_an_encoder_decoder_is_refused_in_memory_too() -> None:
    made = AutoConfig.for_model("t5", vocab_size=400, d_model=32, d_ff=48, num_layers=2, num_heads=4, d_kv=8)
    with pytest.raises(ModelError, match="'t5' is no causal language model: it has an encoder and a decoder"):
        LanguageModel.wrap(T5ForConditionalGeneration(made), tiny_tokenizer())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.2.input_layernorm.weight"])
def test_a_weight_that_is_no_number_is_named(value: float, name: str) -> None:
    lm = tiny_model("llama", dtype=torch.bfloat16)
    with torch.no_grad():
        lm.model.get_parameter(name).view(-1)[-1] = value
    with pytest.raises(ModelError, match=f"weight '{re.escape(name)}' holds NaN or infinities"):
        LanguageModel.wrap(lm.model, lm.tokenizer)


def test_a_token_without_an_embedding_is_named_and_unused_special_tokens_are_none_of_these() -> None:
    lm = tiny_model("llama")
    lm.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    LanguageModel.wrap(lm.model, lm.tokenizer)
    lm.tokenizer.add_tokens(["Quinania"])
    with pytest.raises(ModelError, match=r"1 tokens beyond it, 'Quinania' \(396\) first"):
        LanguageModel.wrap(lm.model, lm.tokenizer)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda lm: ("m/llama", lm.tokenizer), "model 'm/llama' is a path: load it"),
        (lambda lm: (lm.tokenizer, lm.model), "model is a tokenizer .*: give the model first"),
        (lambda lm: (lm.model, lm.model), "tokenizer is a LlamaForCausalLM: give the model's fast tokenizer"),
        (lambda lm: (lm.model, None), "tokenizer is a NoneType"),
        (lambda lm: (lm.model, "m/llama"), "tokenizer is a str"),
        (lambda lm: (None, lm.tokenizer), "model is a NoneType, not a causal language model"),
        (lambda lm: (nn.Linear(2, 2), lm.tokenizer), "model is a Linear, not a causal language model"),
        (lambda lm: (lm.model.model, lm.tokenizer), "'llama' has no output head"),
    ],
)
def test_wrong_arguments_get_a_sentence(given: Any, message: str, tmp_path: Path) -> None:
    model, tokenizer = given(tiny_model("llama"))
    for call in (LanguageModel.wrap, lambda *two: unlearn(*two, tmp_path)):
        with pytest.raises(ModelError, match=message):
            call(model, tokenizer)
