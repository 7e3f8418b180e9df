"""Scores of whole texts: windows predict every token once, and cost what transformers says."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from tests.evaluation.bigram import WORDS, bigram, probability
from tests.evaluation.random_probes import SENTENCE, language_model
from zu_framework.evaluation import Scorer, windows


@pytest.mark.parametrize("bos", [True, False])
def test_a_text_costs_what_transformers_says(llama: LlamaForCausalLM, bos: bool) -> None:
    lm = language_model(llama, bos=bos)
    text = "the cat sat home the dog ran home x"
    ids = torch.tensor([lm.tokenizer(text).input_ids])
    nll, tokens = Scorer(lm).perplexity([text])
    assert tokens == ids.shape[1] - 1 == 8 + bos
    assert nll == pytest.approx(llama(input_ids=ids, labels=ids).loss.item() * tokens, rel=1e-4)


@given(texts=st.lists(SENTENCE, max_size=4), window=st.integers(2, 14), batch_size=st.integers(1, 5))
def test_windows_predict_every_token_once(texts: list[list[str]], window: int, batch_size: int) -> None:
    """Without a BOS, a model that looks one word back cannot tell how its text was cut."""
    lm = bigram(bos=False)
    nll, tokens = Scorer(lm, batch_size, max_tokens=window).perplexity([" ".join(words) for words in texts])
    pairs = [pair for words in texts for pair in itertools.pairwise(words)]
    assert tokens == len(pairs)
    assert nll == pytest.approx(-sum(math.log(probability(*pair)) for pair in pairs), rel=1e-5)


def test_windows_start_with_the_bos() -> None:
    nll, tokens = Scorer(bigram(), max_tokens=3).perplexity(["the cat sat"])  # <s> the cat | <s> sat
    pairs = [("<s>", "the"), ("the", "cat"), ("<s>", "sat")]
    assert tokens == 3
    assert nll == pytest.approx(-sum(math.log(probability(*pair)) for pair in pairs), rel=1e-5)


def test_windows_fit_into_the_model() -> None:
    text = " ".join(["the"] * 40)
    assert Scorer(bigram(positions=8), max_tokens=100).perplexity([text])[1] == 40


def test_texts_are_read_once_and_none_has_no_tokens() -> None:
    lm = bigram()
    scores = Scorer(lm)
    assert scores.perplexity(["the cat", "x"]) == scores.perplexity(["the cat", "x"])
    assert lm.model.rows == 2
    assert scores.perplexity([]) == (0.0, 0)


def test_the_windows_of_a_text_are_joined_in_their_order() -> None:
    (score,) = Scorer(bigram(), max_tokens=3).score_texts(["the cat sat home x"])
    pairs = [("<s>", "the"), ("the", "cat"), ("<s>", "sat"), ("sat", "home"), ("<s>", "x")]
    assert score.token_log_probabilities == pytest.approx([math.log(probability(*pair)) for pair in pairs])
    assert score.tokens == len(score.hits) == 5 and not score.exact


def test_of_a_text_beyond_all_measure_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CHARACTERS", 20)
    text = " ".join(WORDS[1:] * 1000)
    found, beginning = Scorer(bigram()).score_texts([text, text[:20]])
    assert found == beginning and found.tokens > 1
