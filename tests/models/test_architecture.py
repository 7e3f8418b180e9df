"""Where a model keeps its MLPs: told apart by what the parts of a layer do, and refused where that leaves a doubt."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from zu_framework import LanguageModel, ModelError
from zu_framework.models import find_architecture
from zu_framework.testing import tiny_model, tiny_tokenizer

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


def random_model(family: str, **entries: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=len(tiny_tokenizer()), **entries)
    return AutoModelForCausalLM.from_config(config).eval()


class Experts(nn.Module):
    """Routed experts as a list of modules: no parameter has three axes."""

    def __init__(self, mlp: nn.Module, name: str = "experts") -> None:
        super().__init__()
        self.gate = nn.Linear(32, 4, bias=False)
        self.list_name = name
        setattr(self, name, nn.ModuleList([copy.deepcopy(mlp) for _ in range(4)]))

    def forward(self, states: Tensor) -> Tensor:
        share = self.gate(states).softmax(-1)
        best = share == share.amax(-1, keepdim=True)
        each = getattr(self, self.list_name)
        return torch.stack([(best * share)[..., [i]] * expert(states) for i, expert in enumerate(each)]).sum(
            0
        )


@pytest.mark.parametrize("name", ["experts", "branches"])
def test_a_list_of_experts_is_refused_whatever_its_name(name: str) -> None:
    model = tiny_model("llama").model
    for layer in model.model.layers:
        layer.mlp = Experts(layer.mlp, name)
    lm = LanguageModel.wrap(model, tiny_tokenizer())
    with pytest.raises(ModelError, match=f"layer 1 routes tokens to experts \\(mlp.{name}"):
        lm.site(1)


class TwoBranches(nn.Module):
    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.left, self.right = mlp, copy.deepcopy(mlp)

    def forward(self, states: Tensor) -> Tensor:
        return self.left(states) + self.right(states)


def test_two_possible_outputs_are_named_and_neither_is_taken() -> None:
    model = tiny_model("llama").model
    model.model.layers[1].mlp = TwoBranches(model.model.layers[1].mlp)
    found = find_architecture(model)
    assert sorted(found.projections) == [0, 2]
    assert "2 linear maps that may be its MLP's output" in found.refused[1]
    assert "mlp.left.down_proj, mlp.right.down_proj" in found.refused[1]


class Unnamed(nn.Module):
    """An MLP under names that say nothing, whose inner width is the stream's, so that every map could be the output."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.a, self.b = (nn.Linear(32, 32) for _ in range(3))  # the output is defined first

    def forward(self, states: Tensor) -> Tensor:
        return self.c(torch.tanh(self.a(states)) * self.b(states))


def test_the_output_is_the_map_that_the_others_feed_whatever_the_widths_and_names() -> None:
    model = tiny_model("llama").model
    model.model.layers[0].mlp = Unnamed()
    assert find_architecture(model).projections[0] == "model.layers.0.mlp.c"


def test_what_looks_like_an_mlp_beside_the_mlp_is_not_taken() -> None:
    """Gemma 3n's layers hold a low-rank map and a projection of per-layer embeddings, which run after the MLP."""
    lm = tiny_model("gemma3n_text")
    layer = lm.model.model.layers[0]
    assert layer.per_layer_projection.out_features == layer.laurel.linear_right.out_features == 32
    assert lm.site(0).module == "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("family", "entries"),
    [
        ("bert", {"intermediate_size": 48}),
        ("roberta", {"intermediate_size": 48}),
        ("electra", {"intermediate_size": 48, "embedding_size": 32}),
    ],
)
def test_an_encoder_is_refused_and_the_same_as_a_decoder_is_not(family: str, entries: Any) -> None:
    with pytest.raises(ModelError, match=f"'{family}' is no causal language model.*reads both ways"):
        find_architecture(random_model(family, **SMALL, **entries))
    found = find_architecture(random_model(family, **SMALL, **entries, is_decoder=True))
    assert all(
        name.endswith("output.dense") and "attention" not in name for name in found.projections.values()
    )
    assert set(found.scaled_branch.values()) == {True}


def test_the_text_part_of_a_model_with_a_larger_vision_tower_is_found() -> None:
    text = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 400}
    vision = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = random_model(
        "gemma3",
        text_config=text,
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
    )
    assert find_architecture(model).projections[0].endswith("language_model.layers.0.mlp.down_proj")


def test_layers_that_share_one_mlp_are_refused() -> None:
    model = tiny_model("llama").model
    model.model.layers[2].mlp.down_proj.weight = model.model.layers[0].mlp.down_proj.weight
    found = find_architecture(model)
    assert sorted(found.projections) == [1]
    assert "shares its MLP with layers [0, 2]" in found.refused[2]


def test_layers_that_run_twice_are_refused() -> None:
    model = tiny_model("llama").model
    once = model.model.forward

    def twice(*args: Any, **named: Any) -> Any:
        once(*args, **named)
        return once(*args, **named)

    model.model.forward = twice
    with pytest.raises(ModelError, match="runs the layers of model.layers 2 times in a forward pass"):
        find_architecture(model)


def test_a_model_whose_own_forward_fails_is_refused_in_a_sentence() -> None:
    model = tiny_model("llama").model
    model.model.layers[1].mlp.down_proj = nn.Linear(7, 32)
    with pytest.raises(ModelError, match="its own forward pass fails on 5 tokens .*do not fit each other"):
        find_architecture(model)


def test_gpt1_whose_blocks_return_lists_is_read() -> None:
    lm = tiny_model("openai-gpt")
    assert isinstance(lm.model.transformer.h[0](torch.zeros(1, 3, 32)), list)
    lm.verify(lm.site(1))
    assert lm.architecture.final_norm == ""


def test_a_small_branch_behind_a_norm_is_still_seen_to_be_behind_it() -> None:
    """With weights near zero the norm gives back about what was added, if that has a mean square of one."""
    model = random_model("olmo2", **SMALL, intermediate_size=48, num_key_value_heads=2)
    assert set(find_architecture(model).scaled_branch.values()) == {True}


def test_finding_leaves_the_model_as_it_was() -> None:
    lm = tiny_model("qwen3_5_text")
    before, drawn = lm.fingerprint(), torch.random.get_rng_state()
    find_architecture(lm.model)
    assert lm.fingerprint() == before
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.model.modules())
