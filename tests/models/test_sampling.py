"""Contexts are drawn by the model's own `generate`: seeded, among the likeliest, whatever the checkpoint asks for."""

from __future__ import annotations

import pytest
import torch

from zu_framework import LanguageModel, ModelError
from zu_framework.models import encode, greedy_tokens
from zu_framework.testing import tiny_model

PROMPTS = ["The", "People say that", "Therefore", "The"]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def test_a_seed_draws_the_same_whatever_was_drawn_before_and_leaves_no_trace(lm: LanguageModel) -> None:
    first = lm.sample(PROMPTS, 12, seed=3)
    torch.manual_seed(99)
    before, settings = torch.random.get_rng_state(), lm.model.generation_config
    assert lm.sample(PROMPTS, 12, seed=3) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert lm.model.generation_config is settings
    assert lm.sample(PROMPTS, 12, seed=4) != first
    assert first[0] != first[3]  # two rows with one prompt are two draws


def test_tokens_are_among_the_likeliest_and_as_likely_as_the_model_says(lm: LanguageModel) -> None:
    ids = torch.tensor([lm.tokenizer("The").input_ids])
    with torch.no_grad():
        likely = lm.model(ids).logits[0, -1].topk(3)
    drawn = lm.sample(["The"] * 600, 1, seed=0, top_k=3)
    counts = {int(token): 0 for token in likely.indices}
    texts = {lm.tokenizer.decode([token], skip_special_tokens=True): token for token in counts}
    for text in drawn:
        counts[texts[text]] += 1
    share = torch.tensor([counts[int(token)] / 600 for token in likely.indices])
    assert torch.allclose(share, likely.values.softmax(0), atol=0.08)  # four standard deviations of 600 draws


def test_what_a_checkpoint_asks_of_generation_plays_no_part(lm: LanguageModel) -> None:
    plain = lm.sample(PROMPTS, 12, seed=0)
    other = tiny_model("llama")
    settings = other.model.generation_config
    settings.do_sample, settings.temperature, settings.repetition_penalty = True, 0.01, 5.0
    settings.no_repeat_ngram_size, settings.min_new_tokens, settings.top_p = 2, 12, 0.1
    assert other.sample(PROMPTS, 12, seed=0) == plain


def test_a_continuation_ends_before_its_eos(lm: LanguageModel) -> None:
    ending = tiny_model("llama")
    with torch.no_grad():
        ending.model.lm_head.weight.zero_()
        ending.model.lm_head.weight[ending.tokenizer.eos_token_id] = 1
    ids = ending.tokenizer("The").input_ids
    state = ending.model.model(torch.tensor([ids])).last_hidden_state[0, -1]
    with torch.no_grad():
        ending.model.lm_head.weight[ending.tokenizer.eos_token_id] = 50 * state / state.norm() ** 2
    assert ending.sample(["The"], 12, seed=0) == [""]


@pytest.mark.parametrize(
    "family", ["gpt2", "lfm2", "falcon_h1", "recurrent_gemma", "gemma3n_text", "openai-gpt"]
)
def test_other_families_draw_what_a_loop_without_a_cache_would(family: str) -> None:
    """With one token to draw among the draw is greedy: the cache must not change what is likeliest."""
    lm = tiny_model(family)
    ids = lm.tokenizer("People say that").input_ids
    row = list(ids)
    for _ in range(6):
        with torch.no_grad():
            row.append(int(lm.model(torch.tensor([row]), use_cache=False).logits[0, -1].argmax()))
    assert lm.tokenizer.eos_token_id not in row[len(ids) :], "the comparison is of whole continuations"
    expected = lm.tokenizer.decode(row[len(ids) :], skip_special_tokens=True)
    assert lm.sample(["People say that"], 6, seed=0, top_k=1) == [expected]


def test_a_model_without_generate_says_so(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("transformers.generation.utils.GenerationMixin.generate")
    with pytest.raises(ModelError, match="'llama' has no `generate`"):
        lm.sample(["The"], 2, seed=0)


def test_a_greedy_continuation_is_that_of_a_loop_without_a_cache() -> None:
    """Bamba counts positions from zero again where nobody names them."""
    lm = tiny_model("bamba")
    row = encode(lm.tokenizer, "People say that").ids
    whole = list(row)
    for _ in range(6):
        with torch.no_grad():
            whole.append(int(lm.model(input_ids=torch.tensor([whole])).logits[0, -1].argmax()))
    assert greedy_tokens(lm, [row], 6) == [whole[len(row) :]]
