"""Scores: computed by hand, against transformers' own loss, and independent of how they are batched."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from hypothesis import given
from transformers import LlamaForCausalLM

from tests.evaluation.bigram import WORDS, bigram, probability
from tests.evaluation.random_probes import SENTENCE, language_model, many_probes
from zu_framework import DataError, Probe
from zu_framework.evaluation import Scorer, scorer, token_scores
from zu_framework.testing import tiny_model


def test_scores_are_those_computed_by_hand() -> None:
    first, second, third = Scorer(bigram()).score(
        [Probe("the", "cat sat"), Probe("the cat", "sat home"), Probe("x the dog", "ran home")]
    )
    assert first.exact and first.tokens == 2
    assert math.exp(first.log_probability) == pytest.approx(0.5 * 0.5)
    assert not second.exact  # after "sat", "x" is the most likely
    assert math.exp(second.log_probability) == pytest.approx(0.5 * 0.25)
    assert third.exact and math.exp(third.log_probability) == pytest.approx(0.75 * 0.875)


@given(prompt=SENTENCE, answer=SENTENCE)
def test_an_answer_is_as_likely_as_its_tokens_together(prompt: list[str], answer: list[str]) -> None:
    (score,) = Scorer(bigram()).score([Probe(" ".join(prompt), " ".join(answer))])
    pairs = list(zip([prompt[-1], *answer], answer, strict=False))
    assert score.tokens == len(answer)
    assert score.log_probability == pytest.approx(
        sum(math.log(probability(*pair)) for pair in pairs), rel=1e-5
    )
    assert score.exact == all(
        probability(last, word) == max(probability(last, other) for other in WORDS) for last, word in pairs
    )


def test_a_probe_is_scored_once_and_answers_keep_their_order() -> None:
    lm = bigram()
    scores = Scorer(lm, 2)
    probes = [Probe("the", "cat"), Probe("the cat", "ran"), Probe("the", "cat"), Probe("the", "dog")]
    found = scores.score(probes)
    assert lm.model.rows == 3
    assert found[0] == found[2] and scores.score(probes[::-1]) == found[::-1]
    assert lm.model.rows == 3
    assert scores.score([]) == []


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 64])
def test_batches_and_padding_do_not_matter(
    llama: LlamaForCausalLM, batch_size: int, padding_side: str
) -> None:
    probes = many_probes(40)
    alone = [Scorer(language_model(llama)).score([probe])[0] for probe in probes]
    shuffled = random.Random(batch_size).sample(probes, len(probes))
    scored = Scorer(language_model(llama, padding_side=padding_side), batch_size)
    found = dict(zip(shuffled, scored.score(shuffled), strict=True))
    for probe, expected in zip(probes, alone, strict=True):
        assert found[probe].exact == expected.exact and found[probe].tokens == expected.tokens
        assert found[probe].log_probability == pytest.approx(expected.log_probability, abs=1e-4)
    assert any(score.exact for score in alone) and not all(score.exact for score in alone)


def test_a_small_memory_for_logits_does_not_matter(
    llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = many_probes(10)
    expected = Scorer(language_model(llama)).score(probes)
    sizes = []
    monkeypatch.setattr(scorer, "LOGITS_AT_ONCE", 2 * 25 * len(WORDS))
    handle = llama.register_forward_pre_hook(lambda _, arguments: sizes.append(len(arguments[0])))
    found = Scorer(language_model(llama)).score(probes)
    handle.remove()
    assert max(sizes) > 1 and len(sizes) > 1
    assert [s.log_probability for s in found] == pytest.approx(
        [s.log_probability for s in expected], abs=1e-4
    )


def test_an_answer_costs_what_transformers_says(llama: LlamaForCausalLM) -> None:
    lm = language_model(llama)
    probes = many_probes(8)
    for probe, score in zip(probes, Scorer(lm).score(probes), strict=True):
        ids = torch.tensor([lm.tokenizer(f"{probe.prompt} {probe.answer}").input_ids])
        labels = ids.clone()
        labels[:, : -score.tokens] = -100
        loss = llama(input_ids=ids, labels=labels).loss.item()
        assert -score.log_probability == pytest.approx(loss * score.tokens, rel=1e-4)


@pytest.mark.parametrize("spoil", [math.nan, math.inf])
def test_a_broken_model_gives_no_probability(spoil: float) -> None:
    lm = bigram(spoil=spoil)
    broken, sound = Scorer(lm).score([Probe("the dog", "ran"), Probe("the", "cat")])
    assert not broken.exact and broken.log_probability == -math.inf
    assert sound.exact and math.exp(sound.log_probability) == pytest.approx(0.5)
    assert Scorer(lm).perplexity(["dog ran"])[0] == math.inf


def test_half_precision_logits_are_normalised_in_float32(llama: LlamaForCausalLM) -> None:
    half = LlamaForCausalLM(llama.config).to(torch.bfloat16).eval()
    half.load_state_dict(llama.state_dict())
    lm = language_model(half)
    probe = Probe("the cat sat", "home")
    ids = torch.tensor([lm.tokenizer("the cat sat").input_ids])
    expected = half(input_ids=ids).logits[0, -1].float().log_softmax(0)[WORDS.index("home")].item()
    assert Scorer(lm).score([probe])[0].log_probability == pytest.approx(expected, abs=1e-6)


def test_each_token_has_its_hit_its_probability_and_what_was_expected() -> None:
    (score,) = Scorer(bigram()).score([Probe("the cat", "sat home")])
    assert score.hits == (True, False)
    assert score.token_log_probabilities == pytest.approx([math.log(0.5), math.log(0.25)])
    for last, mean, deviation in zip(("cat", "sat"), score.expected, score.deviations, strict=True):
        chances = [probability(last, word) for word in WORDS]
        expected = sum(p * math.log(p) for p in chances)
        assert mean == pytest.approx(expected, rel=1e-5)
        variance = sum(p * (math.log(p) - expected) ** 2 for p in chances)
        assert deviation == pytest.approx(math.sqrt(variance), rel=1e-5)
    assert score.per_token == pytest.approx(math.log(0.5 * 0.25) / 2)


def test_what_is_expected_does_not_depend_on_how_many_tokens_are_scored_at_once(
    llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = many_probes(10)
    expected = Scorer(language_model(llama)).score(probes)
    monkeypatch.setattr(token_scores, "TOKENS_AT_ONCE", 3)
    for one, other in zip(Scorer(language_model(llama)).score(probes), expected, strict=True):
        assert one.hits == other.hits and len(one.hits) == one.tokens
        assert one.expected == pytest.approx(other.expected, abs=1e-5)
        assert one.deviations == pytest.approx(other.deviations, abs=1e-5)


def test_continuations_take_the_likeliest_word_until_the_end() -> None:
    """The tokenizer's unknown word, x, is special to it and not shown."""
    lm = bigram()
    lm.tokenizer.eos_token = "<s>"  # the likeliest after "home"
    on = "cat sat the cat sat the cat sat"
    assert Scorer(lm, 2).completions(["the", "the dog", "x the", "the"], 10) == [on, "ran home", on, on]


def test_a_continuation_is_made_once_and_again_only_where_more_is_asked() -> None:
    lm = bigram()
    scores = Scorer(lm)
    longer = scores.completions(["the"], 4)
    rows = lm.model.rows
    assert scores.completions(["the"], 2) == ["cat sat"] and longer == ["cat sat the"]
    assert lm.model.rows == rows
    assert scores.completions(["the"], 6) == ["cat sat the cat sat"]
    assert scores.cost.prompts == 2 and scores.cost.generated_tokens == 10


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_continuations_are_those_of_transformers(llama: LlamaForCausalLM, batch_size: int) -> None:
    lm = language_model(llama, padding_side="left")
    prompts = [probe.prompt for probe in many_probes(12)]
    found = Scorer(lm, batch_size).completions(prompts, 6)
    for prompt, text in zip(prompts, found, strict=True):
        ids = torch.tensor([lm.tokenizer(prompt).input_ids])
        ends = {"max_new_tokens": 6, "eos_token_id": None, "pad_token_id": 0}
        made = llama.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **ends)
        assert text == lm.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


def test_a_prompt_that_leaves_no_room_to_answer_is_refused() -> None:
    with pytest.raises(DataError, match="the model takes 8"):
        Scorer(bigram(positions=8)).completions(["the " * 7], 5)


def test_the_cost_counts_what_was_new() -> None:
    scores = Scorer(bigram())
    scores.score([Probe("the", "cat"), Probe("the", "cat"), Probe("the cat", "sat home")])
    scores.score([Probe("the", "cat")])
    scores.perplexity(["the cat"])
    cost = scores.cost
    assert (cost.probes, cost.texts, cost.prompts) == (2, 1, 0)
    assert cost.tokens == 3 + 5 + 3  # BOS included
    assert cost.seconds > 0


def test_a_model_that_must_be_loaded_is_loaded_once_asked_and_let_go_of() -> None:
    loaded = []

    def load() -> Any:
        loaded.append(bigram())
        return loaded[-1]

    scores = Scorer(load)
    assert not loaded
    first = scores.score([Probe("the", "cat")])
    scores.release()
    assert scores.score([Probe("the", "cat")]) == first and len(loaded) == 1
    scores.score([Probe("the", "dog")])
    assert len(loaded) == 2


def test_a_probe_longer_than_the_model_is_refused() -> None:
    with pytest.raises(DataError, match="have 9 tokens, the model takes 8"):
        Scorer(bigram(positions=8)).score([Probe("the " * 7, "cat")])


def test_progress_reaches_its_total() -> None:
    seen: list[tuple[str, int, int]] = []
    Scorer(bigram(), 2, progress=lambda *step: seen.append(step)).score(many_probes(5))
    assert [done for _, done, _ in seen] == [2, 4, 5]
    assert {(label, total) for label, _, total in seen} == {("scoring answers", 5)}


@pytest.mark.parametrize("tokens", [1, 16, 40, 10_000])
def test_a_pass_holds_no_more_tokens_than_allowed_and_scores_do_not_depend_on_that(
    tokens: int, llama: LlamaForCausalLM
) -> None:
    """A few long prompts among many short ones are not padded into one batch of gigabytes."""
    draw = random.Random(0)
    probes = [
        Probe(" ".join(draw.choices(WORDS[1:], k=length)), draw.choice(WORDS[1:]))
        for length in [2, 30, 3, 25, 2, 28, 4, 5]
    ]
    lm = language_model(llama)
    expected = Scorer(lm, 1).score(probes)
    widths: list[tuple[int, int]] = []
    handle = llama.register_forward_pre_hook(lambda m, a: widths.append(tuple(a[0].shape)))
    try:
        found = Scorer(lm, 64, batch_tokens=tokens).score(probes)
    finally:
        handle.remove()
    assert all(rows == 1 or rows * width <= tokens for rows, width in widths)
    assert sum(rows for rows, _ in widths) == len(probes)
    assert (len(widths) == 1) is (tokens == 10_000)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.log_probability == pytest.approx(theirs.log_probability, rel=1e-5)


def test_a_prompt_near_the_last_position_takes_no_tokens_from_a_shorter_one() -> None:
    lm = tiny_model("gpt2")  # 128 learned positions: 121 and 124 tokens leave room for 7 and 4
    short, long = " ".join(["word"] * 40), " ".join(["word"] * 41)
    alone = [Scorer(lm).completions([prompt], 6)[0] for prompt in (short, long)]
    assert Scorer(lm).completions([short, long], 6) == alone
    assert Scorer(lm).completions([short], 4)[0] != alone[0], "six tokens say more than four"
