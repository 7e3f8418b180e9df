"""Real pieces of the published sets: counts, spot checks, and a token to read for every subject."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from zu_framework import Probe, Request, models
from zu_plugins.datasets import counterfact, mmlu, mquake, tofu, zsre
from zu_plugins.datasets.options import (
    CounterFactOptions,
    MmluOptions,
    MquakeOptions,
    TofuOptions,
    ZsreOptions,
)

WHOLE = {"protocol": "all", "forget": "all"}


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data"


@pytest.fixture(scope="module")
def tofu_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pieces under the publisher's names."""
    folder = tmp_path_factory.mktemp("tofu")
    for file in (data / "tofu").iterdir():
        (folder / f"{file.stem.partition('_first')[0]}.json").symlink_to(file)
    return folder


@pytest.fixture(scope="module")
def tokenizers(shared: Path) -> list[Any]:
    return [AutoTokenizer.from_pretrained(shared / "models" / name) for name in ("gpt2-tokenizer", "cf-mini")]


def every_subject_has_a_token(tokenizers: Sequence[Any], requests: Sequence[Request]) -> None:
    for tokenizer in tokenizers:
        for request in requests:
            assert request.subject_end is not None
            encoding = models.encode(tokenizer, request.prompt)
            start, end = encoding.offsets[models.token_at(encoding, request.prompt, request.subject_end)]
            assert start < request.subject_end <= end


def test_counterfact(data: Path, tokenizers: list[Any]) -> None:
    path = data / "counterfact.json"
    split = counterfact.load(CounterFactOptions(path=str(path), **WHOLE), 0)
    assert len(split.forget) == 1000
    first = split.forget[0]
    assert (first.prompt, first.answer, first.alternative) == (
        "The mother tongue of Danielle Darrieux is",
        "French",
        "English",
    )
    assert len(first.paraphrases) == 2 and first.neighbours[0] == Probe(
        "The mother tongue of Léon Blum is", "French"
    )
    every_subject_has_a_token(tokenizers, split.forget)


def test_zsre(data: Path, tokenizers: list[Any]) -> None:
    split = zsre.load(ZsreOptions(path=str(data / "zsre.json"), **WHOLE), 0)
    assert len(split.forget) == 500
    first = split.forget[0]
    assert first.prompt == "When was the inception of IAAF Combined Events Challenge?"
    assert first.paraphrases == ("When was the IAAF Combined Events Challenge launched?",)
    assert (first.answer, first.alternative) == ("1998", "2006")
    neighbour = Probe("nq question: what is the name of the last episode of spongebob?", "The String")
    assert first.neighbours == (neighbour,)
    assert sum(bool(request.aliases) for request in split.forget) == 16
    every_subject_has_a_token(tokenizers, split.forget)


def test_zsre_halves_are_drawn_as_counterfacts_are(data: Path) -> None:
    path = data / "zsre.json"
    questions = [record["src"] for record in json.loads(path.read_text("utf-8"))]
    split = zsre.load(ZsreOptions(path=str(path), retain=20), 3)
    draw = random.Random(3)
    assert [request.prompt for request in split.forget] == draw.sample(questions[250:], 50)
    assert [request.prompt for request in split.retain] == draw.sample(questions[:250], 20)


def test_mquake(data: Path, tokenizers: list[Any]) -> None:
    path = data / "mquake_hard.json"
    split = mquake.load(MquakeOptions(path=str(path), **WHOLE), 0)
    edits = [
        (rewrite["prompt"].replace("{}", rewrite["subject"]), rewrite["target_true"]["str"])
        for record in json.loads(path.read_text("utf-8"))
        for rewrite in record["requested_rewrite"]
    ]
    assert len(edits) == 600 and len(split.forget) == 345
    assert [(request.prompt, request.answer) for request in split.forget] == list(dict.fromkeys(edits))
    first = split.forget[0]
    assert (first.prompt, first.answer, first.aliases[0]) == (
        "Hey Jude was performed by",
        "The Beatles",
        "Beatles",
    )
    assert first.implied[0].answer == "English" and first.implied[0].aliases[:2] == ("en", "eng")
    by_prompt = {request.prompt: request for request in split.forget}
    assert by_prompt["The director of Madonna is"].implied == ()  # only the new chain leads there
    every_subject_has_a_token(tokenizers, split.forget)
    forget, retain = (
        {(r.prompt, r.answer) for r in part}
        for part in (lambda s: (s.forget, s.retain))(
            mquake.load(MquakeOptions(path=str(path), forget="all"), 0)
        )
    )
    assert len(forget) == 173 and len(retain) == 172 and not forget & retain


def test_tofu(tofu_folder: Path) -> None:
    split = tofu.load(TofuOptions(path=str(tofu_folder)), 0)
    assert (len(split.forget), len(split.retain)) == (40, 400)
    assert {name: len(found) for name, found in split.others.items()} == {
        "real_authors": 100,
        "world_facts": 117,
    }
    assert all(
        len(r.perturbed_answers) == 5 and r.paraphrased_answer and len(r.paraphrases) == 1
        for r in split.forget
    )
    assert sum(len(request.perturbed_answers) == 5 for request in split.retain) == 100
    assert all(len(r.perturbed_answers) == 3 for found in split.others.values() for r in found)
    assert split.forget[1].answer == "Author Basil Mahfouz Al-Kuwaiti is male."
    assert split.forget[1].paraphrased_answer == "Author Basil Mahfouz Al-Kuwaiti identifies as a man."
    assert split.others["world_facts"][0].answer == "Paris"
    lines = (tofu_folder / "forget01.json").read_text("utf-8").splitlines()
    assert [request.prompt for request in split.forget] == [json.loads(line)["question"] for line in lines]


def test_mmlu(data: Path) -> None:
    split = mmlu.load(MmluOptions(path=str(data / "mmlu"), subjects=["world_religions"]), 0)
    sizes = {"abstract_algebra": 100, "high_school_geography": 198, "us_foreign_policy": 100}
    assert len(split.forget) == 171 and {name: len(found) for name, found in split.others.items()} == sizes
    assert len(split.retain) == 397  # one question stands twice in the file
    assert "line 34 and line 45" in split.notes[0]
    with (data / "mmlu" / "world_religions_test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ["ABCD"[int(row["answer"])] for row in rows] == [request.answer for request in split.forget]
    assert all(row["choice3"] in request.prompt for row, request in zip(rows, split.forget, strict=True))


def test_subjects_of_real_facts_are_read_under_a_chat_template(shared: Path, data: Path) -> None:
    """A real tokenizer with a template: the token read is the one that holds the subject's last character."""
    from dataclasses import replace

    from zu_framework.testing import tiny_model
    from zu_framework.testing.models import CHAT_TEMPLATE, CHAT_TOKENS

    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "gpt2-tokenizer")
    tokenizer.add_special_tokens({"additional_special_tokens": list(CHAT_TOKENS)})
    tokenizer.chat_template = CHAT_TEMPLATE
    small = tiny_model()
    small.model.resize_token_embeddings(len(tokenizer))
    lm = replace(small, tokenizer=tokenizer, chat=models.Chat.of(tokenizer, "Answer in a word."))
    split = zsre.load(ZsreOptions(path=str(data / "zsre.json"), **WHOLE), 0)
    for request in split.forget[:100]:
        assert request.subject_end is not None
        encoding = models.encode_prompt(lm, request.prompt)
        place = models.token_at(encoding, request.prompt, request.subject_end)
        start, end = encoding.offsets[place]
        assert start < request.subject_end <= end
        assert (
            tokenizer.decode([encoding.ids[place]]) == request.prompt[start:end]
            or not request.prompt.isascii()
        )
        assert encoding.ids.count(tokenizer.bos_token_id) == 1
