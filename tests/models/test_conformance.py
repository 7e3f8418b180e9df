"""Every supported family: find sites, read and edit one, see the forward pass follow W', revert, save, load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from zu_framework import LanguageModel, ModelError, ReadPrompt, Request, Site, Update, linalg, models
from zu_framework.engine.writing import Writer
from zu_framework.testing import FAMILIES, NO_SITES, tiny_model

DENSE = [family for family in FAMILIES if family not in NO_SITES]
# a norm, a factor or a second stream stands between the MLP and the residual stream
BRANCH_IS_SCALED = {"gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "olmo2", "openai-gpt"}
# family -> the MLP's output projection inside a layer, and the final norm
PARTS = {
    "llama": ("mlp.down_proj", "model.norm"),
    "mistral": ("mlp.down_proj", "model.norm"),
    "qwen2": ("mlp.down_proj", "model.norm"),
    "qwen3": ("mlp.down_proj", "model.norm"),
    "qwen3_moe": ("mlp.down_proj", "model.norm"),
    "gemma2": ("mlp.down_proj", "model.norm"),
    "gemma3_text": ("mlp.down_proj", "model.norm"),
    "phi3": ("mlp.down_proj", "model.norm"),
    "olmo2": ("mlp.down_proj", "model.norm"),
    "stablelm": ("mlp.down_proj", "model.norm"),
    "gpt2": ("mlp.c_proj", "transformer.ln_f"),
    "gptj": ("mlp.fc_out", "transformer.ln_f"),
    "gpt_neox": ("mlp.dense_4h_to_h", "gpt_neox.final_layer_norm"),
    "opt": ("fc2", "model.decoder.final_layer_norm"),
    "falcon": ("mlp.dense_4h_to_h", "transformer.ln_f"),
    "bloom": ("mlp.dense_4h_to_h", "transformer.ln_f"),
    "openai-gpt": ("mlp.c_proj", ""),
    "qwen3_5_text": ("mlp.down_proj", "model.norm"),
    "lfm2": ("feed_forward.w2", "model.embedding_norm"),
    "falcon_h1": ("feed_forward.down_proj", "model.final_layernorm"),
    "bamba": ("feed_forward.down_proj", "model.final_layernorm"),
    "granitemoehybrid": ("shared_mlp.output_linear", "model.norm"),
    "recurrent_gemma": ("mlp_block.down_proj", "model.final_norm"),
    "jamba": ("feed_forward.down_proj", "model.final_layernorm"),
    "gemma3n_text": ("mlp.down_proj", "model.norm"),
    "gemma4_text": ("mlp.down_proj", "model.norm"),
}
PROMPTS = [
    ReadPrompt("The capital of France is", 21),
    ReadPrompt("Irene Osborn works as a", 12),
    ReadPrompt("People say that Anna Norton speaks", 27),
]


def logits(lm: LanguageModel) -> Tensor:
    ids = torch.tensor([lm.tokenizer("The old bridge was closed because").input_ids])
    with torch.no_grad():
        out: Tensor = lm.model(input_ids=ids, use_cache=False).logits
    return out


def update_for(lm: LanguageModel, site: Site, rank: int = 2) -> Update:
    outputs, inputs = lm.weight(site).shape
    made = torch.Generator().manual_seed(1)
    left, right = torch.randn(outputs, rank, generator=made), torch.randn(rank, inputs, generator=made)
    return Update(left, right / inputs**0.5, scale=1.01)


@pytest.fixture(params=DENSE)
def lm(request: pytest.FixtureRequest) -> LanguageModel:
    return tiny_model(request.param)


def test_its_parts_are_found(lm: LanguageModel) -> None:
    found = lm.architecture
    projection, final_norm = PARTS[lm.model_type]
    assert lm.num_layers == 3
    assert found.final_norm == final_norm
    assert lm.model.get_submodule(found.head) is lm.model.get_output_embeddings()
    for layer, module in found.projections.items():
        assert module == f"{found.layers}.{layer}.{projection}"
        site = lm.site(layer)
        assert site.residual_stream is (lm.model_type not in BRANCH_IS_SCALED)
        lm.verify(site)


def test_keys_and_values_are_those_of_the_weight(lm: LanguageModel) -> None:
    site = lm.site(2)
    keys, values = models.read_states(lm, [site.module], PROMPTS)[site.module]
    assert keys is not None and values is not None
    bias = lm.bias(site)
    expected = lm.weight(site) @ keys + (0 if bias is None else bias[:, None])
    assert torch.allclose(expected, values, rtol=1e-4, atol=1e-5)


def test_an_update_changes_the_forward_pass_as_its_weight_says_and_reverts_to_the_bit(
    lm: LanguageModel,
) -> None:
    site, before, fingerprint = lm.site(0), logits(lm), lm.fingerprint()
    original = lm.weight(site).clone()
    keys = models.read_states(lm, [site.module], PROMPTS, outputs=False)[site.module][0]
    assert keys is not None
    writer = Writer(lm)
    update = update_for(lm, site)
    writer.write(site, update)

    # the site's inputs lie below its weight: they stay, and the outputs are W' k + b
    again, values = models.read_states(lm, [site.module], PROMPTS)[site.module]
    assert again is not None and values is not None and torch.equal(again, keys)
    bias = lm.bias(site)
    expected = update.apply(original) @ keys + (0 if bias is None else bias[:, None])
    assert torch.allclose(expected, values, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(lm), before, atol=1e-3)
    assert lm.fingerprint() != fingerprint

    writer.restore()
    assert torch.equal(lm.weight(site), original)
    assert torch.equal(logits(lm), before)
    assert lm.fingerprint() == fingerprint


def test_an_edited_model_survives_saving_and_loading(lm: LanguageModel, tmp_path: Path) -> None:
    Writer(lm).write(lm.site(0), update_for(lm, lm.site(0)))
    lm.save(tmp_path / "edited")
    loaded = LanguageModel.from_pretrained(str(tmp_path / "edited"))
    assert torch.equal(logits(loaded), logits(lm))
    assert loaded.fingerprint() == lm.fingerprint()


def test_a_nudge_at_a_position_is_an_addition_to_the_output_there(lm: LanguageModel) -> None:
    site = lm.site(2)
    rows = [models.row_of(lm, prompt) for prompt in PROMPTS]
    made = models.batch(rows)
    delta = torch.randn(len(rows), lm.weight(site).shape[0], generator=torch.Generator().manual_seed(0))
    clean = models.read_states(lm, [site.module], PROMPTS, inputs=False)[site.module][1]
    seen: list[Tensor] = []
    with models.add_at(lm, site.module, made.positions, delta):
        models.run_until(
            lm,
            [site.module],
            made.input_ids,
            made.attention_mask,
            lambda name, entered, left: seen.append(left),
        )
    assert clean is not None
    moved = seen[0][torch.arange(len(rows)), made.positions].T
    assert torch.allclose(moved, clean + delta.T, atol=1e-5)


def test_moments_are_of_real_tokens_alone(lm: LanguageModel) -> None:
    """Short rows beside long ones: padding adds nothing, whatever the batch."""
    site = lm.site(2)
    rows = [models.row_of(lm, prompt) for prompt in PROMPTS]
    outputs, inputs = lm.weight(site).shape
    together, alone = linalg.MomentAccumulator(inputs), linalg.MomentAccumulator(inputs)
    values = linalg.MomentAccumulator(outputs)
    models.stream_inputs(lm, [site], rows, lambda _, k, v: (together.add(k), values.add(v)))
    for row in rows:
        models.stream_inputs(lm, [site], [row], lambda _, k, v: alone.add(k))
    assert together.count == alone.count == sum(len(row.ids) for row in rows)
    assert torch.allclose(
        together.moment, alone.moment, rtol=1e-5, atol=1e-6 * float(alone.moment.abs().max())
    )
    weight = lm.weight(site).double()  # values are without the bias
    assert torch.allclose(values.moment, weight @ together.moment @ weight.T, rtol=1e-4, atol=1e-6)


def test_routed_experts_are_refused_and_dense_layers_of_the_same_model_work() -> None:
    mixed = tiny_model("qwen3_moe")
    assert sorted(mixed.architecture.projections) == [0, 2]
    with pytest.raises(ModelError, match=r"layer 1 routes tokens to experts .* choose among layers \[0, 2\]"):
        mixed.site(1)
    routed = tiny_model("mixtral")
    for layer in range(3):
        with pytest.raises(
            ModelError, match=rf"layer {layer} routes tokens.* no layer of this model has a dense MLP"
        ):
            routed.site(layer)


def test_a_hybrid_offers_its_dense_layers_and_refuses_its_experts() -> None:
    lm = tiny_model("jamba")  # a state-space model with attention in some layers, and experts in every second
    assert sorted(lm.architecture.projections) == [0, 2]
    with pytest.raises(ModelError, match=r"layer 1 routes tokens to experts .*choose among layers \[0, 2\]"):
        lm.site(1)


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("mamba", r"layer 1 has no MLP: only mixer \(MambaMixer\)"),
        (
            "rwkv",
            r"layer 1 has no MLP that treats each token alone: 'feed_forward' \(RwkvFeedForward\) mixes tokens",
        ),
    ],
)
def test_a_model_without_mlps_says_so(family: str, why: str) -> None:
    lm = tiny_model(family)
    with pytest.raises(ModelError, match=f"{why}; no layer of this model has a dense MLP"):
        lm.site(1)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="layer 7 does not exist: this llama has layers 0 to 2"):
        tiny_model("llama").site(7)


def test_a_module_that_is_no_plain_linear_map_is_named() -> None:
    lm = tiny_model("llama")
    module = lm.model.get_submodule(lm.site(1).module)
    module.register_forward_hook(lambda m, a, out: out * 1.5)  # as an adapter would
    with pytest.raises(
        ModelError, match=r"'model.layers.1.mlp.down_proj' does not compute W k \+ b .*adapter"
    ):
        lm.verify(lm.site(1))


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_heads(tied: bool, tmp_path: Path) -> None:
    lm = tiny_model("llama", tie_word_embeddings=tied)
    head, embeddings = lm.model.get_output_embeddings().weight, lm.model.get_input_embeddings().weight
    assert (head.data_ptr() == embeddings.data_ptr()) is tied
    Writer(lm).write(lm.site(0), update_for(lm, lm.site(0)))
    lm.save(tmp_path / "model")
    assert torch.equal(logits(LanguageModel.from_pretrained(str(tmp_path / "model"))), logits(lm))


@pytest.mark.parametrize("bias", [True, False])
def test_biased_and_unbiased_projections(bias: bool) -> None:
    lm = tiny_model("llama", mlp_bias=bias)
    assert (lm.bias(lm.site(0)) is not None) is bias
    lm.verify(lm.site(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_weight_is_written_in_its_own_precision_and_the_loss_is_told(dtype: torch.dtype) -> None:
    lm = tiny_model("llama", dtype=dtype)
    site = lm.site(0)
    lm.verify(site)
    original = lm.weight(site).clone()
    writer = Writer(lm)
    written = writer.write(site, update_for(lm, site))
    assert lm.weight(site).dtype == dtype
    low, high = {torch.bfloat16: (1e-4, 1e-2), torch.float16: (1e-5, 1e-3), torch.float64: (0, 1e-14)}[dtype]
    assert low <= written.rounding_loss <= high
    writer.restore()
    assert torch.equal(lm.weight(site), original)


def test_two_requests_with_one_subject_read_the_same_key() -> None:
    lm = tiny_model("gpt2")
    site = lm.site(1)
    first = Request("Anna Norton was born in", "Oslo", subject="Anna Norton")
    assert first.subject_end is not None
    prompts = [ReadPrompt(p, first.subject_end) for p in ("Anna Norton was born in", "Anna Norton speaks")]
    keys = models.read_states(lm, [site.module], prompts)[site.module][0]
    assert keys is not None and torch.allclose(keys[:, 0], keys[:, 1], atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_without_a_site_are_known_before_weights_are_loaded(family: str, tmp_path: Path) -> None:
    lm = tiny_model(family)
    lm.save(tmp_path / "model")
    assert models.check_folder(str(tmp_path / "model")).refused == lm.architecture.refused
