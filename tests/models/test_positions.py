"""Texts that a model cannot take are met with a sentence, whoever reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import DataError, LanguageModel
from zu_framework.models import Chat, answer_row, encode_answer, encode_prompt, row_of
from zu_framework.problem import ReadPrompt
from zu_framework.testing import tiny_model
from zu_framework.testing.models import tiny_tokenizer

LONG = "word " * 400
FACT = {"prompt": "The capital of Quinania is", "subject": "Quinania", "answer": "Warsaw"}
SOLVERS = ("zerounlearn-local", "ft")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A model with learned positions: there is no row beyond the last."""
    tiny_model("gpt2").save(tmp_path / "model")
    (tmp_path / "text.txt").write_text("\n".join([LONG] * 4))
    return {
        "model": {"path": str(tmp_path / "model"), "device": "cpu"},
        "data": {"name": "facts", "path": str(tmp_path / "facts.jsonl"), "forget": 1},
        "locator": {"name": "fixed", "layers": [1]},
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(tmp_path / "text.txt"), "max_tokens": 4096},
        "target": {"name": "neutral", "steps": 1},
        "evaluate": {"metrics": []},
        "output": {"folder": str(tmp_path / "runs"), "report": False},
    }


def run(settings: dict[str, Any], solver: str, **changes: str) -> zu.RunResult:
    Path(settings["data"]["path"]).write_text(json.dumps({**FACT, **changes}))
    options = {"steps": 1, "retain_weight": 1, "retain_tokens": 4096} if solver == "ft" else {}
    return zu.run({**settings, "solver": {"name": solver, **options}})


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("changes", [{"prompt": LONG + FACT["prompt"]}, {"answer": LONG.strip()}])
def test_a_fact_beyond_the_context_is_named(
    settings: dict[str, Any], solver: str, changes: dict[str, str]
) -> None:
    with pytest.raises(DataError, match=r"prompt .* have \d+ tokens, the model takes 128: shorten"):
        run(settings, solver, **changes)
    place = r"line 1: prompt and answer have \d+ tokens, the model takes 128"
    with pytest.raises(DataError, match=place):
        zu.check({**settings, "solver": {"name": solver}})


@pytest.mark.parametrize("solver", SOLVERS)
def test_general_text_beyond_the_context_is_cut(settings: dict[str, Any], solver: str) -> None:
    assert run(settings, solver).folder.is_dir()


def test_a_special_token_without_a_row_is_named_where_a_text_holds_it() -> None:
    lm: LanguageModel = tiny_model("llama")
    lm.tokenizer.add_special_tokens({"additional_special_tokens": ["<beyond>"]})
    encode_prompt(lm, "The capital of Quinania is")
    for read in (encode_prompt, encode_answer, lambda lm, text: row_of(lm, ReadPrompt(text, len(text)))):
        with pytest.raises(DataError, match="holds the special token '<beyond>' .*: take it out"):
            read(lm, "The capital <beyond> is")


@pytest.mark.parametrize("chat", [False, True])
def test_the_row_of_a_prompt_and_its_answer_ends_where_the_model_answers(chat: bool) -> None:
    lm = tiny_model("gpt2", tokenizer=tiny_tokenizer(chat=chat))
    lm = replace(lm, chat=Chat.of(lm.tokenizer) if chat else None, answer_space={FACT["prompt"]: False})
    prompt, answer = encode_prompt(lm, FACT["prompt"]).ids, encode_answer(lm, "Warsaw", FACT["prompt"])
    assert chat or answer != encode_answer(lm, "Warsaw")  # how it follows was settled for this prompt
    for given in ("Warsaw", answer):
        row = answer_row(lm, FACT["prompt"], given)
        assert (row.ids, row.position, row.continuation) == (prompt, len(prompt) - 1, answer)
    with pytest.raises(DataError, match=r"and what follows it have 130 tokens, the model takes 128"):
        answer_row(lm, FACT["prompt"], [5] * (130 - len(prompt)))
