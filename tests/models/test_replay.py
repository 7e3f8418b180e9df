"""Replay: the layers above a module, run alone, say what the whole model says; the readout is the model's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from zu_framework import LanguageModel, ReadPrompt
from zu_framework.models import (
    Readout,
    Row,
    add_at,
    batch,
    capture,
    find_readout,
    logits_at,
    replay_bytes,
    row_of,
)
from zu_framework.testing import FAMILIES, NO_SITES, tiny_model, tiny_tokenizer

PROMPTS = [
    ReadPrompt("The capital of France is", 21),
    ReadPrompt("Irene Osborn works as a", 12),
    ReadPrompt("People say that Anna Norton speaks", 27),
    ReadPrompt("The old", 1),
]
# the others carry more from token to token than keys and values (convolutions, state spaces), keep no cache (GPT-1) or
# have no plain readout (Gemma 3n): target states notice, and run them in a slower way
MORE_THAN_KEYS = (
    "qwen3_5_text",
    "lfm2",
    "falcon_h1",
    "bamba",
    "granitemoehybrid",
    "recurrent_gemma",
    "jamba",
)
UNREPLAYED = (*MORE_THAN_KEYS, *NO_SITES[1:], "openai-gpt", "gemma3n_text")
PLAIN = [family for family in FAMILIES if family not in UNREPLAYED]
# asked after the prompt, after one more token (the last row is not), and where each row is read
ROW, STEP = torch.tensor([0, 0, 1, 1, 2, 2, 3, 0, 1, 2, 3]), torch.tensor([0, 1, 0, 1, 0, 1, 0])


def rows_of(lm: LanguageModel) -> tuple[list[Row], Tensor]:
    """Rows with two more tokens, and the positions that are asked."""
    rows = [row_of(lm, prompt, [5, 6]) for prompt in PROMPTS]
    after = torch.tensor([len(rows[row].ids) for row in ROW[:7]]) + STEP
    return rows, torch.cat([after, torch.tensor([row.position for row in rows])])


def whole_model(lm: LanguageModel, module: str, rows: list[Row], delta: Tensor, position: Tensor) -> Tensor:
    made = batch(rows)
    with torch.no_grad(), add_at(lm, module, made.positions, delta):
        return logits_at(lm, made.input_ids, made.attention_mask, ROW, position).log_softmax(1)


def modules_of(lm: LanguageModel) -> list[str]:
    """A layer's output, the last layer's, and a projection."""
    layers = lm.architecture.layers
    projection = [lm.architecture.projections[i] for i in (0,) if i in lm.architecture.projections]
    return [f"{layers}.0", f"{layers}.{lm.num_layers - 1}", *projection]


def apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("family", PLAIN)
def test_a_replay_says_what_the_whole_model_says(family: str) -> None:
    lm = tiny_model(family)
    readout = find_readout(lm)
    assert readout is not None
    rows, position = rows_of(lm)
    for module in modules_of(lm):
        for whole in (False, True):
            replay = capture(lm, module, rows, whole=whole)
            made = torch.Generator().manual_seed(0)
            delta = torch.randn(len(rows), replay.init.shape[1], generator=made)
            expected = whole_model(lm, module, rows, delta, position)
            clean = whole_model(lm, module, rows, 0 * delta, position)
            assert apart(expected, clean) > 1e-2  # what is moved is heard
            said = readout.log_probabilities(replay.last_states(delta, ROW, position))
            assert apart(said, expected) < 2e-5, (module, whole)
            again = readout.log_probabilities(replay.last_states(0 * delta, ROW, position))
            assert apart(again, clean) < 2e-5, (module, whole)  # a replay keeps nothing of the one before

            fewer = torch.tensor([3, 1])  # the longest prefix and the longest window are gone
            part = replay.of(fewer)
            at = torch.tensor([1, 1, 0]), position[[2, 3, 6]]
            said = readout.log_probabilities(part.last_states(delta[fewer], *at))
            assert apart(said, expected[[2, 3, 6]]) < 2e-5, (module, whole)
    assert not any("forward" in layer.__dict__ for layer in lm.model.get_submodule(lm.architecture.layers))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("falcon", {"alibi": True}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("gpt_neox", {"use_parallel_residual": False}),
        ("mistral", {"sliding_window": 4}),
        ("gemma2", {"sliding_window": 4}),
        ("llama", {"attn_implementation": "eager"}),
    ],
)
def test_positions_and_windows_are_those_of_the_row(family: str, changes: dict[str, Any]) -> None:
    """Rows are shifted against each other: what depends on distance, or looks back but a little, must not see it."""
    lm = tiny_model(family, **changes)
    readout = find_readout(lm)
    assert readout is not None
    rows, position = rows_of(lm)
    module = f"{lm.architecture.layers}.0"
    replay = capture(lm, module, rows)
    delta = torch.randn(len(rows), replay.init.shape[1], generator=torch.Generator().manual_seed(0))
    said = readout.log_probabilities(replay.last_states(delta, ROW, position))
    assert apart(said, whole_model(lm, module, rows, delta, position)) < 2e-5


def test_the_states_kept_are_those_that_passed_also_where_a_layer_adds_in_place() -> None:
    lm = tiny_model("falcon")  # adds the attention's output onto the MLP's, in place
    module = lm.architecture.projections[0]
    rows, _ = rows_of(lm)
    made = batch(rows)
    seen: list[Tensor] = []
    handle = lm.model.get_submodule(module).register_forward_hook(lambda m, a, out: seen.append(out.clone()))
    with torch.no_grad():
        lm.model(input_ids=made.input_ids, attention_mask=made.attention_mask)
    handle.remove()
    assert torch.allclose(capture(lm, module, rows).init, seen[0][torch.arange(4), made.positions], atol=1e-6)


# ------------------------------------------------------------------------------------------------ the readout


def random_model(config: Any) -> LanguageModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3)
    return LanguageModel.wrap(model, tiny_tokenizer())


SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


@pytest.mark.parametrize(
    ("family", "changes", "scale"),
    [("cohere", {"logit_scale": 0.25}, 0.25), ("granite", {"logits_scaling": 8.0}, 0.125)],
)
def test_a_factor_on_the_logits_is_found(family: str, changes: dict[str, float], scale: float) -> None:
    readout = find_readout(random_model(AutoConfig.for_model(family, **SMALL, **changes)))
    assert readout is not None and readout.scale == pytest.approx(scale, rel=1e-5)


def test_a_soft_cap_on_the_logits_is_found() -> None:
    readout = find_readout(tiny_model("gemma2", final_logit_softcapping=2.0))
    assert readout is not None and readout.cap == 2.0


def test_logits_that_are_no_head_over_the_norm_have_no_readout() -> None:
    lm = tiny_model("opt", word_embed_proj_dim=16)  # a projection stands between norm and head
    assert find_readout(lm) is None
    lm = tiny_model("llama")
    lm.model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits + out.logits.square()))
    assert find_readout(lm) is None


@pytest.mark.parametrize(("scale", "cap"), [(1.0, None), (0.3, None), (1.0, 1.5), (0.7, 2.0)])
def test_losses_and_their_slopes_are_those_of_the_formulas(
    scale: float, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=made, dtype=torch.float64)

    weight, bias, states = normal(50, 6), normal(50), normal(7, 6)
    wanted, reference = torch.randint(0, 50, (7,), generator=made), normal(7, 50).log_softmax(1)
    each = normal(7)  # what stands before each row's loss
    norm = torch.nn.LayerNorm(6, dtype=torch.float64)
    readout = Readout(norm, weight, bias, scale, cap)

    def by_autograd(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = scale * (norm(x) @ weight.T + bias)
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        said = logits.log_softmax(1)
        return -said.gather(1, wanted[:, None])[:, 0], (said.exp() * (said - reference)).sum(1)

    # three rows at a time
    monkeypatch.setattr("zu_framework.models.readout.BLOCK_BYTES", {"cpu": 3 * 50 * 8})
    for index, ours in enumerate(
        (lambda x: readout.nll(x, wanted), lambda x: readout.divergence(x, reference))
    ):
        a, b = states.clone().requires_grad_(), states.clone().requires_grad_()
        mine, theirs = ours(a), by_autograd(b)[index]
        assert torch.allclose(mine, theirs, rtol=1e-12, atol=1e-12)
        (each * mine).sum().backward()
        (each * theirs).sum().backward()
        assert (
            a.grad is not None
            and b.grad is not None
            and torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-12)
        )


def test_the_estimate_of_memory_bounds_what_is_kept_for_the_slope() -> None:
    lm = tiny_model("llama", hidden_size=128, intermediate_size=320, num_hidden_layers=4)
    rows, position = rows_of(lm)
    module = f"{lm.architecture.layers}.0"
    replay = capture(lm, module, rows)
    delta = torch.zeros(len(rows), 128, requires_grad=True)
    kept: dict[int, int] = {}

    weights = {parameter.untyped_storage().data_ptr() for parameter in lm.model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    for parameter in lm.model.parameters():
        parameter.requires_grad_(False)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        replay.last_states(delta, ROW, position)
    measured = sum(kept.values())
    assert 0.5 * measured < replay_bytes(lm, module, rows) < 4 * measured
