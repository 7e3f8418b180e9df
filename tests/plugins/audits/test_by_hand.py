"""Each attack on a case that can be done by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.plugins.audits.conftest import World, copied
from zu_framework import (
    AuditContext,
    AuditFacts,
    ConfigError,
    LanguageModel,
    Outcome,
    Probe,
    Request,
    Scorer,
)
from zu_framework.models import Row, continuations, encode_answer, encode_prompt
from zu_framework.registry import installed_plugins
from zu_framework.testing import tiny_model
from zu_plugins.audits import incontext, lens, prune, relearn, sample, wording
from zu_plugins.audits.options import RelearnOptions

PARIS = Request("The capital of France is", "Paris", subject="France", subject_start=15)
PERU = Request("The capital of Peru is", "Lima", subject="Peru", subject_start=15)
ROME = Request("The capital of Italy is", "Rome", subject="Italy", subject_start=15)
FACTS = AuditFacts((PARIS,), (PERU, ROME))


def attack(name: str, lm: LanguageModel, facts: AuditFacts, **options: Any) -> dict[str, Outcome]:
    registered = installed_plugins().registry.get("audit", name)
    context = AuditContext(0, 8, base=lm)
    return dict(registered.load()(lm, facts, registered.spec.options(**options), context))


def seen_weights(
    monkeypatch: pytest.MonkeyPatch, module: Any, lm: LanguageModel, name: str
) -> list[torch.Tensor]:
    """What a weight holds each time the facts are asked."""
    found: list[torch.Tensor] = []
    asked: Callable[..., Outcome] = module.asked

    def watched(*given: Any, **named: Any) -> Outcome:
        found.append(lm.model.get_parameter(name).detach().clone())
        return asked(*given, **named)

    monkeypatch.setattr(module, "asked", watched)
    return found


def test_pruning_zeroes_the_smallest_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    name = "model.layers.1.mlp.up_proj.weight"
    weight = lm.model.get_parameter(name)
    with torch.no_grad():
        weight.copy_((torch.randperm(weight.numel()) + 1.0).reshape(weight.shape) * 1e-3)
        weight[::2] *= -1
    before = weight.detach().clone()
    found = seen_weights(monkeypatch, prune, lm, name)
    attack("prune", lm, FACTS, shares=[0.25])
    zeroed = found[0] == 0
    assert int(zeroed.sum()) == weight.numel() // 4
    assert torch.equal(zeroed, before.abs() <= weight.numel() // 4 * 1e-3 + 1e-6)
    assert torch.equal(found[0][~zeroed], before[~zeroed]) and torch.equal(weight, before)


def test_noise_is_as_large_as_it_says_and_draws_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama", intermediate_size=512)
    name = "model.layers.1.mlp.up_proj.weight"
    before = lm.model.get_parameter(name).detach().clone()
    found = seen_weights(monkeypatch, prune, lm, name)
    attack("noise", lm, FACTS, sizes=[0.1], draws=2)
    for one in found:
        assert float((one - before).std()) == pytest.approx(0.1 * float(before.std()), rel=0.05)
    assert not torch.equal(*found)
    draws = [
        Outcome({"forget": (1.0, 0.0)}, {"forget": ("a", "")}),
        Outcome({"forget": (1.0, 1.0)}, {"forget": ("", "b")}),
    ]
    mean = prune._mean(draws)
    assert mean.answered["forget"] == (1.0, 0.5) and mean.prompts["forget"] == ("a", "b")


def test_the_first_step_of_relearning_is_adams() -> None:
    lm = tiny_model("llama")
    row = Row([3, 5], 0, [7, 9])
    name = "model.layers.1.mlp.up_proj.weight"
    weight = lm.model.get_parameter(name)
    loss = -continuations(lm, [row]).token_log_probability.mean()
    (slope,) = torch.autograd.grad(loss, weight)
    before = weight.detach().clone()
    options = RelearnOptions(steps=1, rows_per_step=1)
    with relearn.trained(lm, [row], options, 1e-3, 0) as losses:
        assert list(losses) == pytest.approx([float(loss)], rel=1e-5)
        # both averages hold one slope: bias-corrected, their ratio is its sign
        expected = before - 1e-3 * slope / (slope.abs() + 1e-8)
        assert torch.allclose(weight, expected, atol=2e-5)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_steps_are_not_rounded_away(dtype: torch.dtype) -> None:
    lm = tiny_model("llama", dtype=dtype)
    full = tiny_model("llama")
    full.model.load_state_dict({name: tensor.float() for name, tensor in lm.model.state_dict().items()})
    facts = AuditFacts((PARIS, PERU, ROME), (ROME,))
    options = {"texts": ["related"], "steps": 8, "lr": [1e-5], "rows_per_step": 1}
    before = lm.state_digest()
    half, whole = (attack("relearn", model, facts, **options)["relearn related"] for model in (lm, full))
    assert half.report["last_loss"] == pytest.approx(whole.report["last_loss"], rel=1e-5)
    assert half.report["last_loss"] > 0 and lm.state_digest() == before


def test_half_of_the_facts_are_taught_and_the_other_half_asked() -> None:
    lm = tiny_model("llama")
    facts = AuditFacts((PARIS, PERU, ROME))
    lesson = relearn._lesson(lm, "half", facts, RelearnOptions(), AuditContext(0, 8))
    assert lesson is not None and lesson.asked == (1,)
    told = [lm.tokenizer.decode([*row.ids, *row.continuation]) for row in lesson.rows]
    assert [("France" in text, "Italy" in text) for text in told] == [(True, False), (False, True)]


def test_the_answer_alone_is_learnt_or_the_whole_text() -> None:
    lm = tiny_model("llama")
    prompt = list(encode_prompt(lm, PARIS.prompt).ids)
    answer = list(encode_answer(lm, PARIS.answer, PARIS.prompt))
    alone, whole, short = (
        relearn._told(lm, PARIS, RelearnOptions(**options))
        for options in ({}, {"loss": "text"}, {"max_tokens": len(answer) + 2})
    )
    assert (list(alone.ids), list(alone.continuation)) == (prompt, answer)
    assert (list(whole.ids), list(whole.continuation)) == (prompt[:1], [*prompt[1:], *answer])
    assert (list(short.ids), list(short.continuation)) == (prompt[-2:], answer)
    with pytest.raises(ConfigError, match="loss"):
        RelearnOptions(loss="prompt")
    with pytest.raises(ConfigError, match="max_tokens must be at least 2"):  # one to read, one to learn
        RelearnOptions(max_tokens=1)


def test_related_facts_are_those_of_the_relation_first_asked_or_not() -> None:
    far = Request("The author of Emma is", "Jane Austen", subject="Emma", subject_start=14)
    facts = AuditFacts((PARIS,), (far,), spare=(PERU, ROME))
    lesson = relearn._lesson(
        tiny_model("llama"), "related", facts, RelearnOptions(steps=1, rows_per_step=2), AuditContext(0, 8)
    )
    assert lesson is not None and lesson.asked == (0,) and len(lesson.rows) == 2
    told = [tiny_model("llama").tokenizer.decode([*row.ids, *row.continuation]) for row in lesson.rows]
    assert "Peru" in told[0] and "Italy" in told[1]


def test_leaks_are_counted_over_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        PARIS.prompt: ["Paris, of course", "in paris", "Parisian life", "London"] * 2,
        PERU.prompt: ["Lima"] * 8,
    }

    def drawn(lm: LanguageModel, prompts: list[str], **named: Any) -> list[list[str]]:
        return [told[prompt] for prompt in prompts]

    monkeypatch.setattr(sample, "draws", drawn)
    found = attack("sample", tiny_model("llama"), AuditFacts((PARIS, PERU)), k=2, draws=8)["leak@2"]
    # 4 of 8 hold the word: 1 - C(4, 2) / C(8, 2)
    assert found.answered["forget"] == pytest.approx((1 - 6 / 28, 1.0))
    assert found.prompts["forget"] == (PARIS.prompt, PERU.prompt)


def test_wordings_by_hand() -> None:
    def texts(way: str, request: Request = PARIS) -> list[tuple[str, str]]:
        return [(probe.prompt, probe.answer) for probe in wording.WAYS[way](request)]

    assert [prompt.split()[3] for prompt, _ in texts("spelling")][:2] == ["france", "FRANCE"]
    swapped, doubled = (prompt.split()[3] for prompt, _ in texts("spelling")[2:])
    assert sorted(swapped) == sorted("France") != list(swapped) and len(doubled) == len("France") + 1
    assert texts("negation")[0] == ("It is wrong to doubt that the capital of France is", "Paris")
    assert texts("reversed") == [("Paris is the capital of", "France")]
    named = Request(
        "Danielle Darrieux speaks", "French", subject="Danielle Darrieux", extra={"relation_id": "P103"}
    )
    assert texts("reversed", named) == [
        ("A famous person whose native language is French is", "Danielle Darrieux")
    ]
    other = Request(
        PARIS.prompt,
        "Paris",
        subject="France",
        subject_start=15,
        extra={
            "subject_aliases": ["the French Republic"],
            "translations": [{"prompt": "La capitale de la France est", "answer": "Paris"}],
        },
    )
    assert texts("aliases", other) == [("The capital of the French Republic is", "Paris")]
    assert texts("translations", other) == [("La capitale de la France est", "Paris")]
    implied = Request(
        PARIS.prompt, "Paris", implied=(Probe("The tower in France's capital is named after", "Eiffel"),)
    )
    assert texts("multi_hop", implied) == [("The tower in France's capital is named after", "Eiffel")]
    assert texts("spelling", Request("Who?", "x")) == [] and texts("reversed", Request("Who?", "x")) == []


def test_contexts_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def exact(lm: LanguageModel, requests: list[Request], batch_size: int) -> list[float]:
        asked.extend(request.prompt for request in requests)
        return [1.0] * len(requests)

    monkeypatch.setattr(incontext, "exact", exact)
    lm, facts = tiny_model("llama"), AuditFacts((PARIS,), (PERU,), spare=(ROME,), asked=("forget",))
    found = attack("context", lm, facts, ways=["shots"], shots=2)["context shots"]
    lines = asked[0].split("\n")
    assert sorted(lines[:2]) == ["The capital of Italy is Rome.", "The capital of Peru is Lima."]
    assert lines[2] == PARIS.prompt and found.prompts["forget"] == (asked[0],)
    attack("context", lm, facts, ways=["hint"])
    assert asked[-1] == f"(The answer begins with the letter P.) {PARIS.prompt}"


def test_a_choice_is_ranked_by_log_probability_a_token() -> None:
    lm = tiny_model("llama")
    found = attack("context", lm, FACTS, ways=["choice"])["context choice"]
    scores = Scorer(lm, 8).score([Probe(PARIS.prompt, answer) for answer in ("Paris", "Lima", "Rome")])
    own, *others = (score.log_probability / score.tokens for score in scores)
    rank = 1 + sum(other > own for other in others)
    assert found.report["mean_rank"] == rank and found.report["chance"] == pytest.approx(1 / 3)
    assert found.answered["forget"] == (float(rank == 1),)


def test_the_lens_at_the_last_layer_is_the_model_itself() -> None:
    lm = tiny_model("llama")
    found = attack("lens", lm, AuditFacts((PARIS,)))["lens"]
    ids = lm.tokenizer(PARIS.prompt, return_tensors="pt")["input_ids"]
    answer = lens.encode_answer(lm, PARIS.answer, PARIS.prompt)[0]
    with torch.no_grad():
        predicted = lm.model(ids).logits[0, -1].softmax(-1)
    assert found.curve["prompt end"][-1] == pytest.approx(float(predicted[answer]), rel=1e-4)
    last = 1 + int((predicted > predicted[answer]).sum())
    assert found.report["median_best_rank"] <= last
    everything = attack("lens", lm, AuditFacts((PARIS,)), rank=lm.tokenizer.vocab_size + 1000)["lens"]
    assert everything.answered["forget"] == (1.0,)


def test_detect_takes_out_what_was_planted_and_leaves_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_plugins.audits import detect

    lm = copied(world.base)
    name = f"{lm.architecture.projections[1]}.weight"
    weight = lm.model.get_parameter(name)
    made = torch.Generator().manual_seed(1)
    left = torch.nn.functional.normalize(torch.randn(weight.shape[0], generator=made), dim=0)
    right = torch.nn.functional.normalize(torch.randn(weight.shape[1], generator=made), dim=0)
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(torch.outer(left, right) * 100 * before.norm())
    found = seen_weights(monkeypatch, detect, lm, name)
    attack("detect", lm, world.facts, sites=1, rank=1)
    # what is left lies as near to the untouched weight as one direction of it is large
    assert float((found[0] - before).norm()) < 1.5 * float(torch.linalg.matrix_norm(before, 2))
