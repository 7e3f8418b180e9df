"""Target states: each request takes the very steps it takes alone, and they do what they are for.

Sites are the first two of three layers: what the last layer puts at a subject reaches no later token.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zu_framework import Background, ConfigError, LanguageModel, Probe, ReadPlan, Request, RunContext, Scorer
from zu_framework.models import add_at, answer_ids, batch, read_states, row_of
from zu_framework.testing import tiny_model
from zu_plugins.collectors.collectors import SubjectLast
from zu_plugins.collectors.options import ContextOptions
from zu_plugins.targets.fixed import Fixed
from zu_plugins.targets.neutral import Neutral
from zu_plugins.targets.options import FixedOptions, NeutralOptions
from zu_plugins.targets.texts import TEXTS, readiest

REQUESTS = [
    Request("The capital of France is", "Paris", subject="France"),
    Request("The mother tongue of Anna Norton is", "Italian", subject="Anna Norton"),
    Request("Irene Osborn works as a", "teacher", subject="Irene Osborn"),
]
OPTIONS = NeutralOptions(text=" unknown", lr=0.3, steps=12)


def made(lm: LanguageModel, contexts: str = "fixed") -> tuple[SubjectLast, ReadPlan, RunContext]:
    context = RunContext(batch_size=32, needs=frozenset({"sensitive"}))
    collector = SubjectLast(
        ContextOptions(contexts=contexts, templates=["Yes. {}", "He said so. {}"]), context
    )
    return collector, collector.plan(lm, REQUESTS), context


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "gemma2"])
def test_a_batch_gives_what_each_request_gives_alone(family: str) -> None:
    lm = tiny_model(family)
    _, plan, context = made(lm)
    sites = [lm.site(0), lm.site(1)]
    fingerprint = lm.fingerprint()

    def states(part: ReadPlan, rows_per_pass: int) -> torch.Tensor:
        state = Neutral(replace(OPTIONS, rows_per_pass=rows_per_pass), context).prepare(lm, part, sites)
        return state.shared if state.shared is not None else torch.cat(list(state.own.values()))

    together = states(plan, 32)
    assert torch.allclose(states(plan, 4), together, rtol=1e-4, atol=1e-5)
    alone = torch.cat([states(plan.subset([i]), 32) for i in range(len(REQUESTS))], 1)
    assert torch.allclose(alone, together, rtol=1e-4, atol=1e-5)
    assert lm.fingerprint() == fingerprint
    assert all(p.grad is None and p.requires_grad for p in lm.model.parameters())


def test_the_state_makes_the_model_say_the_text(lm: LanguageModel) -> None:
    _, plan, context = made(lm, "none")
    block = lm.site(1).block
    options = replace(OPTIONS, steps=60, clamp=50.0, weight_decay=0.0, kl_weight=0.0)
    state = Neutral(options, context).prepare(lm, plan, [lm.site(1)])
    assert state.shared is not None
    ids = answer_ids(lm.tokenizer, " unknown")
    prompts = [row[0] for row in plan.prompts]
    clean = read_states(lm, [block], prompts, inputs=False)[block][1]
    assert clean is not None

    def nll(delta: torch.Tensor) -> torch.Tensor:
        """Of the text after each prompt, the state moved by delta (n, o)."""
        rows = [row_of(lm, prompt, ids[:-1]) for prompt in prompts]
        given = batch(rows)
        with torch.no_grad(), add_at(lm, block, given.positions, delta):
            logits = lm.model(input_ids=given.input_ids, attention_mask=given.attention_mask).logits
        said = logits.log_softmax(-1)
        losses = [
            -sum(said[i, len(row.ids) - 1 + k, token] for k, token in enumerate(ids)) / len(ids)
            for i, row in enumerate(rows)
        ]
        return torch.stack([torch.as_tensor(v) for v in losses])

    before, after = nll(torch.zeros_like(clean.T)), nll((state.shared - clean).T)
    assert bool((after < before - 0.5).all())
    assert torch.allclose(after, torch.tensor(state.report["neutral_last_nll"]), atol=1e-4)


def test_a_request_stops_on_its_own(lm: LanguageModel) -> None:
    """Once a request's loss is below the threshold it takes no further step, while the others go on."""
    _, plan, context = made(lm, "none")
    whole = replace(OPTIONS, steps=40, lr=0.5, clamp=20.0, weight_decay=0.0, loss_threshold=0.0)
    lowest = sorted(Neutral(whole, context).prepare(lm, plan, [lm.site(1)]).report["neutral_last_loss"])
    easy = replace(whole, loss_threshold=lowest[0] + 0.1)
    report = Neutral(easy, context).prepare(lm, plan, [lm.site(1)]).report
    counts, losses = report["neutral_evaluations"], report["neutral_last_loss"]
    assert min(counts) < max(counts) == 40
    for count, loss in zip(counts, losses, strict=True):
        assert count == 40 or loss < easy.loss_threshold
    alone = Neutral(easy, context).prepare(lm, plan.subset([1]), [lm.site(1)]).report
    assert alone["neutral_evaluations"] == [counts[1]]


def test_the_shift_is_clamped(lm: LanguageModel) -> None:
    _, plan, context = made(lm, "none")
    block = lm.site(1).block
    tight = Neutral(replace(OPTIONS, lr=5.0, clamp=0.25), context).prepare(lm, plan, [lm.site(1)])
    init = read_states(lm, [block], [row[0] for row in plan.prompts], inputs=False)[block][1]
    assert init is not None and tight.shared is not None
    ratio = (tight.shared - init).norm(dim=0) / init.norm(dim=0)
    assert bool((ratio <= 0.25 + 1e-5).all()) and bool((ratio > 0.2).all())


def test_a_state_is_optimised_on_so_many_texts_of_a_request(lm: LanguageModel) -> None:
    _, plan, context = made(lm)
    _, bare, _ = made(lm, "none")

    def states(part: ReadPlan, prompts: int | None) -> torch.Tensor:
        found = Neutral(replace(OPTIONS, prompts=prompts), context).prepare(lm, part, [lm.site(1)]).shared
        assert found is not None
        return found

    assert torch.equal(states(plan, 1), states(bare, None))
    assert torch.equal(states(plan, 3), states(plan, None)), "three are all there are"
    assert not torch.allclose(states(plan, 2), states(plan, None), atol=1e-3)
    with pytest.raises(ConfigError, match="prompts must be at least 1"):
        replace(OPTIONS, prompts=0)


def test_the_residual_is_spread_over_the_sites(lm: LanguageModel) -> None:
    collector, plan, context = made(lm)
    sites = [lm.site(0), lm.site(1)]
    builder = Neutral(OPTIONS, context)
    state = builder.prepare(lm, plan, sites)
    block = sites[-1].block
    hidden = read_states(lm, [block], [row[0] for row in plan.prompts], inputs=False)[block][1]
    assert hidden is not None and state.shared is not None
    for index, site in enumerate(sites):
        found = collector.collect(lm, plan, site)
        states = builder.at_site(state, lm, site, index, found)
        assert torch.allclose(states.targets, found.values + (state.shared - hidden) / (2 - index), atol=1e-5)


def test_where_a_norm_follows_the_mlp_each_site_has_a_state_of_its_own() -> None:
    lm = tiny_model("gemma2")
    collector, plan, context = made(lm)
    builder = Neutral(OPTIONS, context)
    sites = [lm.site(0), lm.site(1)]
    state = builder.prepare(lm, plan, sites)
    assert state.shared is None and set(state.own) == {site.module for site in sites}
    found = collector.collect(lm, plan, sites[0])
    states = builder.at_site(state, lm, sites[0], 0, found)
    expected = found.values + state.own[sites[0].module] - found.bare_values
    assert torch.allclose(states.targets, expected, atol=1e-5)


def test_targets_and_sensitive_values_are_without_the_bias() -> None:
    lm = tiny_model("gpt2")
    site = lm.site(1)
    collector, plan, context = made(lm, "none")
    none = replace(OPTIONS, steps=1)  # one evaluation takes no step: the sensitive value is the clean output
    builder = Neutral(none, context)
    states = builder.at_site(
        builder.prepare(lm, plan, [site]), lm, site, 0, collector.collect(lm, plan, site)
    )
    found = collector.collect(lm, plan, site)
    assert states.sensitive is not None
    assert torch.allclose(states.sensitive, found.values, atol=1e-5)
    assert torch.allclose(states.targets, found.values, atol=1e-5)


def test_sensitive_values_are_made_where_they_are_needed_only(lm: LanguageModel) -> None:
    collector, plan, _ = made(lm)
    builder = Neutral(OPTIONS, RunContext())
    state = builder.prepare(lm, plan, [lm.site(1)])
    assert (
        builder.at_site(state, lm, lm.site(1), 0, collector.collect(lm, plan, lm.site(1))).sensitive is None
    )


def test_a_target_that_is_not_reached_is_noted(lm: LanguageModel) -> None:
    _, plan, context = made(lm, "none")
    report = Neutral(replace(OPTIONS, steps=2), context).prepare(lm, plan, [lm.site(1)]).report
    assert report["notes"][0].startswith("3 of 3 neutral states were not reached")


def test_the_eos_token_can_be_asked_for_and_a_request_may_have_its_own(lm: LanguageModel) -> None:
    _, plan, context = made(lm, "none")
    site = [lm.site(1)]
    default = Neutral(NeutralOptions(text="eos", lr=0.3, steps=12), context).prepare(lm, plan, site)
    eos = Neutral(replace(OPTIONS, text="</s>"), context).prepare(lm, plan, site)
    assert default.shared is not None and eos.shared is not None and torch.equal(default.shared, eos.shared)
    own = replace(plan, requests=tuple(replace(r, target="</s>") for r in plan.requests))
    asked = Neutral(OPTIONS, context).prepare(lm, own, site)
    assert asked.shared is not None and torch.equal(asked.shared, eos.shared)


def test_the_default_text_is_what_the_model_is_readiest_to_say(lm: LanguageModel) -> None:
    _, plan, context = made(lm, "none")
    report = Neutral(NeutralOptions(steps=1), context).prepare(lm, plan, [lm.site(1)]).report
    found = report["neutral_texts_nll"]
    assert set(found) == {"</s>", *TEXTS} and report["neutral_text"] == min(found, key=found.__getitem__)
    prompts = [r.prompt for r in plan.requests]
    scores = Scorer(lm).score([Probe(prompt, ".") for prompt in prompts])
    mean = -sum(score.per_token for score in scores) / len(scores)
    assert found["."] == pytest.approx(mean, rel=1e-4)


def test_a_text_that_an_answer_begins_with_is_no_neutral_one(lm: LanguageModel) -> None:
    _, found = readiest(lm, [Request("The winner is", "unknown")], 8)
    assert " unknown" not in found and "." in found


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_fixed_targets_need_no_optimisation(lm: LanguageModel, value: str) -> None:
    collector, plan, _ = made(lm, "none")
    site = lm.site(1)
    mean = torch.arange(float(lm.weight(site).shape[0]))
    context = RunContext(
        needs=frozenset({"sensitive"}), backgrounds={site.module: Background(mean_value=mean)}
    )
    builder = Fixed(FixedOptions(value=value), context)
    found = collector.collect(lm, plan, site)
    states = builder.at_site(builder.prepare(lm, plan, [site]), lm, site, 0, found)
    expected = mean if value == "mean" else torch.zeros_like(mean)
    assert torch.equal(states.targets, expected[:, None].expand(-1, 3))
    assert states.sensitive is not None and torch.equal(states.sensitive, found.bare_values)
