"""The optimisation of target states: however it is run, each request takes the steps of the plain loop."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.plugins.targets.test_neutral import OPTIONS, made
from tests.states.three_requests import PLAIN, run
from zu_framework import LanguageModel, ModelError
from zu_framework.models import Replay, answer_ids
from zu_framework.states import evaluators
from zu_framework.states.batches import optimise
from zu_framework.states.descent import Optimised
from zu_framework.testing import FAMILIES, tiny_model
from zu_plugins.targets.neutral import Neutral

# one of each kind quickly (gemma2: norms after the MLP and a soft cap; falcon: adds in place; bloom: positions by mask)
QUICK = {"llama", "gemma2", "falcon", "bloom"}
REPLAY = "replay"
SEVERAL_STREAMS = "gemma3n_text"  # its layers pass four states at once
EVERY_FAMILY = [
    family if family in QUICK else pytest.param(family, marks=pytest.mark.slow)
    for family in FAMILIES
    if family != SEVERAL_STREAMS
]
# recurrent layers carry more than keys and values, GPT-1 keeps none
WHOLE_ROWS = [
    "openai-gpt",
    "qwen3_5_text",
    "lfm2",
    "falcon_h1",
    "bamba",
    "granitemoehybrid",
    "jamba",
    "mamba",
    "rwkv",
]
WAYS = {**dict.fromkeys(WHOLE_ROWS, "replay of whole rows"), "recurrent_gemma": "full forward"}
# a layer's own output hides what the layers beside it are given; its scan has parts that stay in float32
ELSEWHERE = {("gemma4_text", "model.layers.1"): "full forward"}
IN_FLOAT64 = {("mamba", "backbone.layers.1"): "full forward"}


def way_of(family: str, module: str) -> str:
    return ELSEWHERE.get((family, module), WAYS.get(family, REPLAY))


def modules_of(lm: LanguageModel) -> list[str]:
    site = [lm.architecture.projections[i] for i in (0,) if i in lm.architecture.projections]
    return [f"{lm.architecture.layers}.1", *site]


def in_float64(family: str, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """A model that computes in float64 throughout: some families compute attention in float32, whatever their dtype."""
    lm = tiny_model(family)

    class Wide:
        float32 = torch.float64

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

    code = importlib.import_module(type(lm.model).__module__)
    monkeypatch.setattr(code, "torch", Wide())
    if "moe" in family or family in ("mixtral", "jamba"):
        lm.model.set_experts_implementation("eager")  # the grouped product knows no float64
    lm.model.to(torch.float64)
    return lm


def compare(ours: Optimised, plain: Optimised, trace: float, states: float) -> None:
    assert set(plain.how) == {"full forward"}
    assert ours.evaluations == plain.evaluations
    for mine, theirs in zip(ours.trace, plain.trace, strict=True):
        assert mine == pytest.approx(theirs, rel=0, abs=trace)
    assert ours.last_nll == pytest.approx(plain.last_nll, rel=0, abs=trace)
    assert float((ours.states - plain.states).norm() / plain.states.norm()) < states


def threshold(plain: Optimised) -> float:
    """A loss that some reach before the end, not close to any that was seen."""
    seen = sorted(loss for losses in plain.trace for loss in losses[:-1])
    gap, below = max((b - a, a) for a, b in pairwise(seen[: len(seen) // 2]))
    return below + gap / 2


def followed(lm: LanguageModel, module: str, way: str, **changes: Any) -> Optimised:
    """Optimise as the model allows: without a word where its replay serves, with a warning where a slower way does."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ours = run(lm, module, **changes)
    assert ours.how == {way: 3}
    assert any("which is slower" in str(warning.message) for warning in said) == (way != REPLAY)
    return ours


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_each_way_takes_the_steps_of_the_plain_loop_in_float64(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = in_float64(family, monkeypatch)
    for module in modules_of(lm):
        stop = threshold(run(lm, module, **PLAIN))
        plain = run(lm, module, **PLAIN, loss_threshold=stop)
        assert min(plain.evaluations) < 12  # someone stops early and leaves the batch
        way = IN_FLOAT64.get((family, module), way_of(family, module))
        ours = followed(lm, module, way, loss_threshold=stop)
        # rotary angles of gemma4 stay in float32
        near = (1e-6, 1e-5) if family == "gemma4_text" else (1e-9, 1e-7)
        compare(ours, plain, *near)


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_each_way_takes_the_steps_of_the_plain_loop_in_float32(family: str) -> None:
    lm = tiny_model(family)
    for module in modules_of(lm):
        ours = followed(lm, module, way_of(family, module))
        compare(ours, run(lm, module, **PLAIN), trace=3e-4, states=1e-4)


@pytest.mark.slow
def test_a_stream_of_several_states_is_refused() -> None:
    lm = tiny_model(SEVERAL_STREAMS)
    with pytest.raises(ModelError, match="4 streams of states at once"):
        run(lm, modules_of(lm)[0])


def test_half_precision_replays_too() -> None:
    lm = tiny_model("llama", dtype=torch.bfloat16)
    module = f"{lm.architecture.layers}.1"
    ours, plain = run(lm, module), run(lm, module, **PLAIN)
    assert ours.how == {"replay": 3}
    assert ours.states.dtype == torch.float32
    assert [losses[0] for losses in ours.trace] == pytest.approx(
        [losses[0] for losses in plain.trace], abs=0.05
    )


def test_a_model_that_keys_and_values_do_not_carry_replays_whole_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A layer that looks at more than attention's keys and values goes wrong on a window, and is caught."""
    lm = tiny_model("llama")
    above = lm.model.get_submodule(lm.architecture.layers)[2]
    # the sum over all earlier tokens, as a recurrent layer has it
    above.register_forward_pre_hook(lambda m, a: (a[0] + 0.1 * a[0].cumsum(1), *a[1:]))
    module = f"{lm.architecture.layers}.1"
    with pytest.warns(
        UserWarning, match="model type 'llama': replay fails .*differ.*used instead: replay of whole"
    ):
        ours = run(lm, module)
    assert ours.how == {"replay of whole rows": 3}
    compare(ours, run(lm, module, **PLAIN), trace=1e-4, states=1e-4)


def test_a_model_whose_layers_do_not_tell_all_falls_back_to_the_full_forward() -> None:
    """Something that runs beside the layers, and reads the token ids, is lost on any replay."""
    lm = tiny_model("llama")
    seen: list[Tensor] = []
    layers = lm.model.get_submodule(lm.architecture.layers)
    lm.model.get_input_embeddings().register_forward_hook(lambda m, a, out: seen.append(out))
    layers[0].register_forward_hook(lambda m, a, out: out)
    count = [0]

    def drifts(_: Any, arguments: Any) -> Any:
        count[0] += 1
        return (
            arguments[0] * (1 + 0.05 * (seen[-1].shape[1] - arguments[0].shape[1] + count[0] % 2)),
            *arguments[1:],
        )

    layers[2].register_forward_pre_hook(drifts)
    with pytest.warns(UserWarning) as told:
        ours = run(lm, f"{lm.architecture.layers}.1")
    assert ours.how == {"full forward": 3}
    assert any("used instead: full forward" in str(warning.message) for warning in told)


def test_an_unknown_readout_means_the_full_forward() -> None:
    lm = tiny_model("opt", word_embed_proj_dim=16)
    module = f"{lm.architecture.layers}.1"
    with pytest.warns(UserWarning, match="model type 'opt': its logits are not those of a plain head"):
        ours = run(lm, module)
    assert ours.how == {"full forward": 3}
    assert torch.equal(ours.states, run(lm, module, **PLAIN).states)


def test_a_layer_that_refuses_to_be_replayed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    monkeypatch.setattr(
        Replay, "last_states", lambda *a: (_ for _ in ()).throw(TypeError("no such argument"))
    )
    with pytest.warns(UserWarning, match="TypeError: no such argument"):
        ours = run(lm, f"{lm.architecture.layers}.1")
    assert ours.how == {"full forward": 3}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules at which something was captured."""
    seen: list[str] = []
    real = evaluators.capture

    def capture(lm: LanguageModel, module: str, rows: Sequence[Any], **named: Any) -> Replay:
        seen.append(module)
        return real(lm, module, rows, **named)

    monkeypatch.setattr(evaluators, "capture", capture)
    return seen


@pytest.mark.parametrize(("text", "captures"), [("</s>", 1), (" not known to me", 2)])
def test_targets_of_one_layer_share_a_capture_where_their_rows_are_the_same(
    text: str, captures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows hold the text but its last token: those of texts of one token are the prompts alone."""
    lm = tiny_model("llama")
    collector, plan, context = made(lm)
    # answers of one token
    plan = replace(plan, requests=tuple(replace(r, answer="</s>") for r in plan.requests))
    site = lm.site(1)
    found = collector.collect(lm, plan, site)
    seen = counted(monkeypatch)
    builder = Neutral(replace(OPTIONS, text=text), context)
    states = builder.at_site(builder.prepare(lm, plan, [site]), lm, site, 0, found)
    assert len(seen) == captures
    alone = Neutral(replace(OPTIONS, text=text, memory=1e-6), context)  # no room to keep anything
    again = alone.at_site(alone.prepare(lm, plan, [site]), lm, site, 0, found)
    assert states.sensitive is not None and again.sensitive is not None
    assert torch.allclose(states.sensitive, again.sensitive, rtol=1e-4, atol=1e-4)
    assert torch.allclose(states.targets, again.targets, rtol=1e-4, atol=1e-4)


def test_nothing_is_kept_across_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    collector, plan, context = made(lm)
    plan = replace(plan, requests=tuple(replace(r, answer="</s>") for r in plan.requests))
    sites = [lm.site(0), lm.site(1)]
    builder = Neutral(replace(OPTIONS, text="</s>"), context)
    state = builder.prepare(lm, plan, sites)
    lm.write_weight(sites[0], 1.5 * lm.weight(sites[0]))
    seen = counted(monkeypatch)
    states = builder.at_site(state, lm, sites[1], 1, collector.collect(lm, plan, sites[1]))
    assert seen == [sites[1].module]
    fresh = run_sensitive(lm, plan, sites[1].module)
    assert states.sensitive is not None and torch.allclose(states.sensitive, fresh, rtol=1e-5, atol=1e-5)


def run_sensitive(lm: LanguageModel, plan: Any, module: str) -> Tensor:
    texts = [answer_ids(lm.tokenizer, request.answer) for request in plan.requests]
    return optimise(lm, module, plan, texts, replace(OPTIONS, replay="none")).states
