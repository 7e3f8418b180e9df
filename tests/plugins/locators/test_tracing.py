"""Layers found by tracing: exact where it must be, told where it cannot be, and the model is left as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr

from zu_framework import ConfigError, DataError, LanguageModel, ModelError, Request, RunContext, models
from zu_framework.testing import FAMILIES, NO_SITES, tiny_model
from zu_plugins.locators.attribution import attributed_effects
from zu_plugins.locators.causal_trace import clean_states, restored, traced_effects
from zu_plugins.locators.curves import Curves
from zu_plugins.locators.facts import CLASSES, SUBJECT_LAST, Fact, known_facts, noise_of, noise_scale
from zu_plugins.locators.options import TraceOptions
from zu_plugins.locators.parts import MLP, layers_around, parts_of, window_of
from zu_plugins.locators.tracing import attribution, causal_trace, measured

PROMPT, SUBJECT = "People say that Anna Norton speaks", "Anna Norton"
LOCATORS = (causal_trace, attribution)
# the state that a model ends in is its final norm's: GPT-1 has none; Gemma 3n passes several streams
TRACED = [family for family in FAMILIES if family not in (*NO_SITES, "openai-gpt", "gemma3n_text")]


def taught(lm: LanguageModel, prompt: str = PROMPT, subject: str | None = SUBJECT) -> Request:
    """A fact that the model knows: the head's row of the answer is the state that it ends the prompt in."""
    answer = models.answer_ids(lm.tokenizer, "it")
    assert len(answer) == 1
    ids = torch.tensor([models.encode(lm.tokenizer, prompt).ids])
    seen: list[torch.Tensor] = []
    models.run_until(
        lm, [lm.architecture.final_norm], ids, torch.ones_like(ids), lambda n, i, o: seen.append(o)
    )
    state = seen[0][0, -1]
    with torch.no_grad():
        head = lm.model.get_output_embeddings().weight
        head[answer[0]] = 12 * state / state.norm() ** 2
        head *= torch.where(torch.arange(len(head)) == answer[0], 1.0, 0.3)[:, None]
        if lm.model.get_input_embeddings().weight is head:  # tied: the scaled embeddings move the states
            for _ in range(8):
                seen.clear()
                models.run_until(
                    lm,
                    [lm.architecture.final_norm],
                    ids,
                    torch.ones_like(ids),
                    lambda n, i, o: seen.append(o),
                )
                head[answer[0]] = 12 * seen[0][0, -1] / seen[0][0, -1].norm() ** 2
    return Request(prompt, "it", subject=subject)


def fact_of(lm: LanguageModel) -> Fact:
    facts, notes = known_facts(lm, [taught(lm)], 0, 8)
    assert notes == []
    return facts[0]


@pytest.fixture
def lm() -> LanguageModel:
    return tiny_model("llama", dtype=torch.float64)


def test_restoring_everything_gives_the_clean_probability_back_exactly(lm: LanguageModel) -> None:
    fact, parts = fact_of(lm), parts_of(lm)
    noise = noise_of(lm, fact, 4, noise_scale(lm, [fact], 3.0), 0)
    clean = clean_states(lm, fact, parts.modules)
    everywhere = tuple(range(len(fact.row.ids)))
    places = [((module,), everywhere) for module in parts.by_kind["hidden"].values()]
    found = restored(lm, fact, clean, noise, [((), ()), *places], 4)
    unharmed = restored(lm, fact, clean, torch.zeros_like(noise), [((), ())], 4)
    for at in range(1, len(found)):
        assert torch.equal(found[at], unharmed[0])
    assert float((found[0] - fact.clean).abs().min()) > 1e-3  # and the noise had taken it away
    assert float(unharmed[0, 0]) == pytest.approx(fact.clean, rel=1e-12)
    # the subject's tokens after the first layer carry all of the corruption
    subject = ((parts.by_kind["hidden"][0],), tuple(range(*fact.subject)))
    later = ((parts.by_kind["hidden"][2],), everywhere[:-1])  # what the last token has read is not undone
    some = restored(lm, fact, clean, noise, [subject, later], 4)
    assert float((some[0] - fact.clean).abs().max()) > 1e-6
    torch.testing.assert_close(some[1], found[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("effects", [traced_effects, attributed_effects])
def test_without_noise_every_effect_is_zero(lm: LanguageModel, effects: Callable[..., object]) -> None:
    fact, parts = fact_of(lm), parts_of(lm)
    found, bottom = effects(lm, fact, parts, noise_of(lm, fact, 3, 0.0, 0), 1, 8)  # type: ignore[misc]
    assert bottom == pytest.approx(fact.clean, rel=1e-12)
    for values in found.values():
        assert values.shape == (3, len(fact.row.ids))
        assert float(values[:, fact.subject[0] :].abs().max()) < 1e-14
        assert bool(values[:, : fact.subject[0]].isnan().all())


@pytest.mark.parametrize("effects", [traced_effects, attributed_effects])
@pytest.mark.parametrize("window", [1, 2])
def test_batching_does_not_matter(lm: LanguageModel, effects: Callable[..., object], window: int) -> None:
    fact, parts = fact_of(lm), parts_of(lm)
    noise = noise_of(lm, fact, 3, noise_scale(lm, [fact], 3.0), 0)
    one, low = effects(lm, fact, parts, noise, window, 1)  # type: ignore[misc]
    many, same = effects(lm, fact, parts, noise, window, 50)  # type: ignore[misc]
    assert low == pytest.approx(same, rel=1e-12)
    for kind in one:
        torch.testing.assert_close(one[kind], many[kind], rtol=1e-9, atol=1e-14, equal_nan=True)


def test_attribution_is_the_trace_to_first_order() -> None:
    """With little noise the two agree; the gap shrinks with its square."""
    lm = tiny_model("gpt2", dtype=torch.float64)  # its norms stay in float64; those of llama round to float32
    fact, parts = fact_of(lm), parts_of(lm)
    gaps = []
    for sigmas in (1e-2, 1e-3):
        noise = noise_of(lm, fact, 3, noise_scale(lm, [fact], sigmas), 0)
        trace = traced_effects(lm, fact, parts, noise, 1, 32)[0]
        cheap = attributed_effects(lm, fact, parts, noise, 1, 32)[0]
        gaps.append(max(float((trace[k] - cheap[k]).nan_to_num().abs().max()) for k in trace))
        sizes = max(float(trace[k].nan_to_num().abs().max()) for k in trace)
        assert gaps[-1] < 0.3 * sizes
    assert gaps[1] < 0.03 * gaps[0]


@pytest.mark.parametrize("locate", LOCATORS)
@pytest.mark.parametrize("working", [0, 1, 3])
def test_the_layer_that_does_all_the_work_is_found(locate: Callable[..., list[object]], working: int) -> None:
    lm = tiny_model("llama", num_hidden_layers=5)
    with torch.no_grad():
        for layer in range(5):
            if layer != working:
                lm.weight(lm.site(layer)).zero_()
    requests = [taught(lm)]
    # one random model and one fact: what noise moves it towards the answer varies
    for noise in (0.5, 1.0, 3.0):
        try:
            sites = locate(lm, requests, TraceOptions(width=1, noise=noise, samples=6), RunContext())
        except ConfigError as refused:
            assert "no MLP brings the answer back" in str(refused)
            continue
        assert [site.layer for site in sites] == [working]  # type: ignore[attr-defined]
        return
    pytest.fail("no noise showed the layer")


@pytest.mark.parametrize("locate", LOCATORS)
def test_a_trace_is_deterministic_and_leaves_the_model_as_it_was(
    locate: Callable[..., list[object]], tmp_path: Path
) -> None:
    lm = tiny_model("llama")
    request = taught(lm)
    frozen, *rest = lm.model.parameters()
    frozen.requires_grad_(False)
    before, random = lm.fingerprint(), torch.random.get_rng_state()
    kept = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        context = RunContext(seed=4, artifacts=tmp_path / name)
        locate(lm, [request], TraceOptions(width=1, samples=2, noise=0.7), context)
        kept.append(sorted((p.name, p.read_bytes()) for p in (tmp_path / name).iterdir()))
    assert kept[0] == kept[1]
    assert lm.fingerprint() == before
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(p.grad is None for p in lm.model.parameters())
    assert not frozen.requires_grad and all(p.requires_grad for p in rest)
    assert not any(m._forward_hooks for m in lm.model.modules())
    (_, curves), (_, picture) = kept[0]
    assert picture.startswith(b"\x89PNG")
    read = json.loads(curves)
    assert read["classes"] == list(CLASSES) and read["facts"] == 1 and len(read["mean"]["mlp"]) == 3
    assert read["picked"] == [read["peak"]]


@pytest.mark.parametrize("family", TRACED)
def test_every_family_is_traced(family: str) -> None:
    lm = tiny_model(family)
    request = taught(lm)
    for name, effects in (("causal-trace", traced_effects), ("attribution", attributed_effects)):
        curves = measured(name, effects, lm, [request], TraceOptions(samples=2), RunContext(batch_size=64))
        sites = sorted(lm.architecture.projections)
        assert sorted(curves.site_curve) == sites
        assert abs(curves.clean - curves.corrupted) > 1e-6
        # attention and MLP at the subject, and the state that the last token ends in: it alone decides the answer
        last = curves.mean["hidden"][2, CLASSES.index("last token")]
        if name == "causal-trace":
            assert float(last) == pytest.approx(curves.clean - curves.corrupted, rel=1e-3, abs=1e-6)
        assert all(int((~values.isnan()).sum()) > 0 for values in curves.mean.values())
    frozen = tiny_model(family)
    taught(frozen)
    for parameter in frozen.model.parameters():
        parameter.requires_grad_(False)
    again = measured(
        "attribution", attributed_effects, frozen, [request], TraceOptions(samples=2), RunContext()
    )
    torch.testing.assert_close(again.mean["mlp"], curves.mean["mlp"], rtol=1e-3, atol=1e-6, equal_nan=True)


def test_a_model_of_several_streams_is_refused_in_a_sentence() -> None:
    lm = tiny_model("gemma3n_text")
    context = RunContext(batch_size=64)
    with pytest.raises(ModelError, match="passes 4 streams of states at once.*choose the layers yourself"):
        measured("causal-trace", traced_effects, lm, [taught(lm)], TraceOptions(samples=2), context)


def test_tokens_fall_into_their_classes(lm: LanguageModel) -> None:
    def classes(prompt: str, subject: str) -> list[str]:
        fact = known_facts(lm, [taught(lm, prompt, subject)], 0, 8)[0][0]
        return [CLASSES[fact.class_of(p)] for p in fact.positions]

    inside = classes(PROMPT, SUBJECT)
    assert inside[0] == CLASSES[0] and inside.count(CLASSES[2]) == 1 and inside[-1] == CLASSES[5]
    assert inside.index(CLASSES[3]) == inside.index(CLASSES[2]) + 1
    assert set(classes("It is Anna", "Anna")) <= set(CLASSES[:3])
    one = models.encode(lm.tokenizer, "the old bridge is")
    assert len([o for o in one.offsets if o[1] > 8 and o[0] < 14 and o[1] <= 14]) >= 1
    assert classes("the old bridge is", "old bridge")[-1] == CLASSES[5]


@pytest.mark.parametrize("locate", LOCATORS)
def test_what_cannot_be_traced_is_told(locate: Callable[..., object], lm: LanguageModel) -> None:
    known = taught(lm)
    with pytest.raises(DataError, match=r"none of 1 requests has a subject.*locator.name=fixed"):
        locate(lm, [Request(PROMPT, "it")], TraceOptions(), RunContext())
    with pytest.raises(DataError, match=r"the model knows none of 1 answers \(first: 'teacher' after"):
        locate(lm, [Request(PROMPT, "teacher", subject=SUBJECT)], TraceOptions(), RunContext())
    _, notes = known_facts(
        lm, [known, Request(PROMPT, "it"), Request(PROMPT, "teacher", subject=SUBJECT)], 0, 8
    )
    assert notes[0].startswith("1 of 3 requests have no subject")
    assert notes[1].startswith("1 of 2 answers are not what the model says (first: 'teacher' after")
    with pytest.raises(ConfigError, match="locator.width is 4, but only 3 layers of this model offer a site"):
        locate(lm, [known], TraceOptions(width=4, samples=1), RunContext())


def test_layers_are_picked_around_the_peak_among_those_that_offer_a_site() -> None:
    nan = float("nan")

    def picked(values: list[float], width: int) -> list[int]:
        effects = torch.full((len(values), len(CLASSES)), nan, dtype=torch.float64)
        effects[:, SUBJECT_LAST] = torch.tensor(values)
        return Curves("x", {MLP: effects}, {}, 1.0, 0.0, 1).picked(width)

    assert picked([0, 1, 5, 1, 0], 3) == [1, 2, 3]
    assert picked([5, 1, 0, 1, 0], 3) == [0, 1, 2]
    assert picked([0, 1, 0, 1, 5], 3) == [2, 3, 4]
    assert picked([0, 1, 5, 1, 0], 2) == [2, 3]
    assert picked([0, nan, 5, nan, 1], 3) == [0, 2, 4]
    assert picked([1, 1, 1], 1) == [0]


def test_windows_are_those_of_rome() -> None:
    parts = parts_of(tiny_model("llama", num_hidden_layers=8))
    assert layers_around(parts, MLP, 4, 4) == [2, 3, 4, 5]
    assert layers_around(parts, MLP, 0, 4) == [0, 1]
    assert layers_around(parts, MLP, 4, 1) == [4]
    assert layers_around(parts, "hidden", 4, 4) == [4]
    assert (window_of(48, 0), window_of(28, 0), window_of(3, 0), window_of(28, 4)) == (10, 6, 1, 4)


@pytest.mark.slow
def test_real_facts_are_read_early_in_a_small_model(shared: Path) -> None:
    lm = LanguageModel.from_pretrained(str(shared / "models" / "cf-mini"))
    records = json.loads((shared / "data" / "counterfact_known.json").read_text("utf-8"))[:6]
    requests = []
    for record in records:
        asked = record["requested_rewrite"]
        prompt = asked["prompt"].format(asked["subject"])
        requests.append(Request(prompt, asked["target_true"]["str"], subject=asked["subject"]))
    context = RunContext(batch_size=128)
    options = TraceOptions(width=1, samples=3)
    trace = measured("causal-trace", traced_effects, lm, requests, options, context)
    cheap = measured("attribution", attributed_effects, lm, requests, options, context)
    assert trace.clean > 0.8 and trace.corrupted < 0.6 * trace.clean
    assert trace.peak == 0
    # of few facts the two need not name one layer; over the whole map they go together
    ours, theirs = (
        torch.cat([curves.mean[kind].flatten() for kind in ("hidden", "mlp", "attention")])
        for curves in (trace, cheap)
    )
    assert float(spearmanr(ours.numpy(), theirs.numpy()).statistic) > 0.5
    # what the last token ends in decides the answer, and states there weigh more the deeper they are
    last = trace.mean["hidden"][:, CLASSES.index("last token")]
    assert float(last[-1]) == pytest.approx(trace.clean - trace.corrupted, abs=1e-4)
    assert float(last[-1]) > float(last[0])
