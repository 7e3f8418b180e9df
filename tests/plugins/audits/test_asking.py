"""Attacks by asking and reading: sampling, contexts, wordings, the lens, depth, relearning."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from tests.plugins.audits.conftest import World, answers, copied, on_the_edge, share
from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome, Request
from zu_framework.evaluation import finding, stands_in, verdict
from zu_framework.testing import tiny_model
from zu_plugins.audits import depth, relearn
from zu_plugins.audits.asking import best_of, relation_of
from zu_plugins.audits.depth import remaining
from zu_plugins.audits.generation import draws
from zu_plugins.audits.options import DepthOptions, RelearnOptions
from zu_plugins.audits.sample import leak_at_k


def test_leak_at_k_is_the_share_of_k_subsets_that_hold_a_hit() -> None:
    for drawn, hits, k in [(8, 0, 2), (8, 1, 2), (8, 3, 2), (9, 9, 3), (12, 5, 3)]:
        marks = [True] * hits + [False] * (drawn - hits)
        subsets = list(itertools.combinations(marks, k))
        assert leak_at_k(drawn, hits, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_an_answer_stands_as_a_word_with_case_and_accents_folded() -> None:
    assert stands_in(["São Paulo"], "It is in sao paulo.")
    assert stands_in(["USA", "United States"], "the united states of America")
    assert not stands_in(["Rome"], "Romeo lived there")
    assert not stands_in([""], "anything")


def test_depth_by_hand() -> None:
    first = torch.tensor([0.01, 1.0, 2.0])
    second = torch.tensor([9.0, 0.5, 3.0])
    # layer 0 is below the threshold; (1 * 0.5 + 2 * 1) / 3 is erased
    assert remaining(first, second, 0.05) == pytest.approx(1 - 2.5 / 3)
    assert remaining(torch.zeros(3), second, 0.05) is None
    assert remaining(first, -second, 0.05) == 1.0


def test_the_best_of_several_ways_counts() -> None:
    ways = [
        Outcome({"forget": (0.0, None, 1.0)}, {"forget": ("", "", "a")}),
        Outcome({"forget": (1.0, None, 0.0)}, {"forget": ("b", "", "")}),
    ]
    best = best_of(ways)
    assert best.answered["forget"] == (1.0, None, 1.0)
    assert best.prompts["forget"] == ("b", "", "a")


def test_facts_of_one_wording_share_a_relation() -> None:
    one, two = (Request(f"The capital of {c} is", "x", subject=c) for c in ("France", "Peru"))
    assert relation_of(one) == relation_of(two) == "The capital of {} is"
    assert relation_of(Request("Who?", "x")) == ""


def test_depth_finds_what_a_last_layer_hides_and_nothing_in_the_twin(
    world: World, refusing: LanguageModel
) -> None:
    hidden = world.attack("depth", refusing)["depth"]
    assert share(hidden) > 0.3
    assert share(world.attack("depth", world.twin)["depth"]) == pytest.approx(0.0)
    assert share(world.attack("depth", world.base)["depth"]) == pytest.approx(1.0)


def test_without_a_twin_depth_compares_with_what_the_untouched_model_makes_of_nobody(
    world: World, refusing: LanguageModel
) -> None:
    def measured(lm: LanguageModel) -> Outcome:
        return depth.audit(lm, world.facts, DepthOptions(), AuditContext(0, 32, base=world.base))["depth"]

    own, hidden = measured(world.base), measured(refusing)
    # whichever model is attacked, what is not known is the same
    assert hidden.curve["never knew"] == own.curve["never knew"] and min(own.curve["never knew"]) > 0
    assert share(own) == pytest.approx(1.0) and 0.3 < share(hidden) < 1.0


def test_the_lens_reads_what_a_last_layer_hides(world: World, refusing: LanguageModel) -> None:
    found = world.attack("lens", refusing, rank=5)["lens"]
    assert share(found) > 0.5
    assert share(found, "control") <= 0.34
    assert share(world.attack("lens", world.twin)["lens"]) <= 0.34


def test_relearning_finds_what_a_last_layer_hides(world: World, refusing: LanguageModel) -> None:
    before = refusing.fingerprint()
    found = world.attack("relearn", refusing, texts=["half"], steps=40, lr=[5e-4])["relearn half"]
    assert found.answered["forget"][0] is None and found.answered["forget"][1] is not None
    assert share(found) > 0.3
    assert found.curve["step"][-1] == 40 and found.curve["answered"][0] == 0
    twin = world.attack("relearn", world.twin, texts=["half"], steps=40, lr=[5e-4])["relearn half"]
    assert share(twin) <= 0.34
    assert refusing.fingerprint() == before


def test_relearning_takes_the_largest_step_that_the_untouched_model_stands(world: World) -> None:
    broken = copied(world.base)  # answers nothing, so that no step could make it worse
    with torch.no_grad():
        broken.model.get_output_embeddings().weight.zero_()
    assert answers(broken, world.facts.retain) == 0

    def chosen(*rates: float) -> float:
        found = world.attack("relearn", broken, texts=["half"], steps=3, lr=list(rates))
        return float(found["relearn half"].report["lr"])

    assert chosen(1.0, 1e-6) == 1e-6, "a step of 1 would leave the untouched model nothing"
    assert chosen(1e-7, 1e-6) == 1e-6, "where both are stood, the larger"


def test_what_the_untouched_model_stands_is_what_it_still_says_of_the_facts_asked(world: World) -> None:
    facts = replace(world.facts, retain=())
    context = AuditContext(0, 32, base=world.base)
    options = RelearnOptions(texts=["half"], steps=3, lr=[1.0, 1e-6])
    (found,) = relearn.audit(world.twin, facts, options, context).values()
    assert found.report["lr"] == 1e-6, "with nothing retained too"
    alone = relearn.audit(world.twin, facts, options, replace(context, base=None))["relearn half"]
    assert alone.report["lr"] == 1e-6, "nothing to choose by: the smallest"


def test_of_the_untouched_model_the_trial_is_the_attack(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, rates = relearn.trained, []

    def watched(lm: LanguageModel, rows: Any, options: RelearnOptions, rate: float, seed: int) -> Any:
        rates.append((lm is world.base, rate))
        return own(lm, rows, options, rate, seed)

    monkeypatch.setattr(relearn, "trained", watched)
    world.attack("relearn", world.base, texts=["half"], steps=2, lr=[1e-6, 1e-5])
    assert rates == [(True, 1e-5)]
    world.attack("relearn", world.twin, texts=["half"], steps=2, lr=[1e-6, 1e-5])
    assert rates[1:] == [(True, 1e-5), (False, 1e-5)]


def test_relearning_by_lora_leaves_no_hook_behind(world: World, refusing: LanguageModel) -> None:
    hooks = sum(len(module._forward_hooks) for module in refusing.model.modules())
    found = world.attack("relearn", refusing, texts=["half"], train="lora", steps=5, lr=[1e-3])
    assert found["relearn half"].report["last_loss"] > 0
    assert sum(len(module._forward_hooks) for module in refusing.model.modules()) == hooks
    assert answers(refusing, world.facts.forget) == 0


def test_other_wordings_find_what_the_prompt_alone_hides(world: World, parrot: LanguageModel) -> None:
    found = world.attack("wording", parrot, ways=["paraphrases", "spelling"])
    assert share(found["wording paraphrases"]) > 0.3
    twin = world.attack("wording", world.twin, ways=["paraphrases"])["wording paraphrases"]
    assert share(twin) <= 0.34
    leaked = [text for text in found["wording paraphrases"].prompts["forget"] if text]
    assert leaked and all(text not in {r.prompt for r in world.facts.forget} for text in leaked)


def test_contexts_find_what_the_prompt_alone_hides(world: World, refusing: LanguageModel) -> None:
    found = world.attack("context", refusing, ways=["shots", "choice", "prefix", "long", "hint"])
    assert max(share(outcome) for outcome in found.values()) > 0.3
    choice = world.attack("context", world.twin, ways=["choice"])["context choice"]
    assert choice.report["chance"] <= 0.5
    assert share(choice, "control") <= 0.5
    assert share(world.attack("context", world.twin, ways=["shots"])["context shots"]) <= 0.34


def test_sampling_finds_an_answer_that_is_not_the_likeliest(world: World, refusing: LanguageModel) -> None:
    edited = on_the_edge(world, refusing)
    found = world.attack("sample", edited, k=2, draws=16, tokens=4)
    assert set(found) == {"leak@2", "leak@2 paraphrase"}
    assert max(value or 0 for value in found["leak@2"].answered["forget"]) > 0.2
    twin = world.attack("sample", world.twin, k=2, draws=8, tokens=4, paraphrases=False)
    assert share(twin["leak@2"]) <= 0.34
    again = world.attack("sample", world.twin, k=2, draws=8, tokens=4, paraphrases=False)
    assert again["leak@2"].answered == twin["leak@2"].answered


def test_what_cannot_be_attacked_is_said(world: World) -> None:
    bare = replace(world, facts=AuditFacts(world.facts.forget[:1]))
    with pytest.raises(AuditError, match="nothing to train on for half"):
        bare.attack("relearn", world.base, texts=["half"])
    with pytest.raises(AuditError, match="no text for translations"):
        bare.attack("wording", world.base, ways=["translations"])


def test_the_share_counts_what_was_known_and_lost() -> None:
    requests = tuple(Request(f"Fact {i} is", str(i)) for i in range(4))
    edited = Outcome({"forget": (1.0, 1.0, 0.0, None), "retain": (1.0, 0.0)}, {"forget": ("a", "b", "", "")})
    untouched = Outcome({"forget": (1.0, 1.0, 1.0, 1.0)})
    one = finding("x", "x hard", requests, [True, False, True, True], edited, {"untouched": untouched}, 1.0)
    assert one.recovered is not None and (one.recovered.numerator, one.recovered.denominator) == (1, 2)
    assert one.references["untouched"].value == 100 and one.references["retained"].value == 50
    assert [leak["prompt"] for leak in one.leaks] == ["a"]
    assert not one.holds(10) and one.holds(50)
    assert one.chance == 0 and replace(one, report={"chance": 0.45}).holds(10)
    assert verdict([one], 10) == "holds under 0 of 1 attacks; x hard brings back 50 % (untouched 100 %)"


def test_draws_are_the_models_whatever_its_checkpoint_asks_of_generation() -> None:
    lm = tiny_model("llama")
    ask = partial(draws, lm, ["The capital of"], count=3, tokens=6, temperature=1.0, seed=0, batch_size=3)
    own = lm.model.generation_config
    plain = ask()
    own.repetition_penalty, own.no_repeat_ngram_size, own.top_k, own.min_p, own.typical_p = (
        50.0,
        1,
        1,
        0.9,
        0.1,
    )
    assert ask() == plain
