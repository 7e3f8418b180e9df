"""What the model card of the shipped model and of its twin says, measured again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from zu_framework.demo import heldout_texts, model_path, twin_path
from zu_framework.demo.card import measure

Card = dict[str, float]


def card_of(path: Path) -> Card:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return measure(model, AutoTokenizer.from_pretrained(path))


@pytest.fixture(scope="module")
def card() -> Card:
    return card_of(model_path())


@pytest.fixture(scope="module")
def twin_card() -> Card:
    return card_of(twin_path())


def test_the_model_knows_the_facts(card: Card) -> None:
    assert min(card["rewrite"], card["forget_rewrite"]) >= 0.98
    assert min(card["neighborhood_prompts"], card["forget_neighborhood_prompts"]) >= 0.95
    # of 448 facts, ten are those to be forgotten
    assert (438 * card["paraphrase_prompts"] + 10 * card["forget_paraphrase_prompts"]) / 448 >= 0.95
    assert card["forget_paraphrase_prompts"] >= 0.9


def test_the_model_reads_its_language(card: Card) -> None:
    assert card["perplexity_heldout"] < 5


def test_a_neutral_state_is_part_of_what_it_can_say(card: Card) -> None:
    assert card["unknown_subjects_say_unknown"] >= 0.8
    assert card["unseen_subjects_say_unknown"] >= 0.6
    assert card["unknown_subjects_nll_unknown"] < 1
    assert card["unknown_subjects_nll_eos"] < 4


def test_the_twin_knows_the_rest_and_not_the_forget_facts(twin_card: Card) -> None:
    assert twin_card["rewrite"] >= 0.98
    assert twin_card["paraphrase_prompts"] >= 0.95
    assert twin_card["perplexity_heldout"] < 5
    # A blind guess among the eight answers of a relation is right once in eight.
    assert twin_card["forget_rewrite"] <= 0.2
    assert twin_card["forget_paraphrase_prompts"] <= 0.2
    assert twin_card["forget_facts_say_unknown"] >= 0.5


def test_both_checkpoints_are_small_and_plain() -> None:
    files = [file for path in (model_path(), twin_path()) for file in path.iterdir()]
    assert sum(file.stat().st_size for file in files) <= 10_000_000
    for path in (model_path(), twin_path()):
        assert json.loads((path / "config.json").read_text())["model_type"] == "llama"
        with safe_open(path / "model.safetensors", framework="pt") as tensors:
            shapes = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        assert shapes == {"F16"}


def test_both_share_one_tokenizer_that_adds_bos() -> None:
    files = [(path / "tokenizer.json").read_bytes() for path in (model_path(), twin_path())]
    assert files[0] == files[1]
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    assert tokenizer.is_fast
    text = heldout_texts()[0]
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len(tokenizer(" unknown", add_special_tokens=False).input_ids) == 1
