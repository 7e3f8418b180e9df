"""A user's own facts through the public doors: `zu.unlearn`, `check`, `run`, and what each says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import LanguageModel, MetricSpec
from zu_framework.engine.check import check
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import load_plugins

FACT = {"prompt": "The capital of {} is", "subject": "Quinania", "answer": " Warsaw\n"}


@pytest.fixture
def own(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A quick run on one fact that stands twice in its file."""
    facts = tmp_path / "own.jsonl"
    facts.write_text("\n".join(json.dumps(FACT) for _ in range(2)), "utf-8")
    settings["data"] = {"name": "facts", "path": str(facts)}
    settings["locator"]["layers"] = [0]
    settings["collector"]["contexts"] = "none"
    settings["target"]["steps"] = 1
    settings["output"]["report"] = False
    settings["evaluate"] = {"metrics": ["efficacy"]}
    return settings


def test_unlearn_takes_mappings_as_files_have_them(own: dict[str, Any], lm: LanguageModel) -> None:
    given = {**FACT, "paraphrases": "one text", "neighbors": "The chief town of {} is"}
    with zu.unlearn(lm, None, [given, given], own) as edit:
        (request,) = edit.requests
        assert (request.prompt, request.answer) == ("The capital of Quinania is", "Warsaw")
        assert request.paraphrases == ("one text",)
        assert request.neighbours == (zu.Probe("The chief town of Quinania is", "Warsaw"),)
        assert "facts to forget: 1 record repeats an earlier one" in edit.notes[0]


def test_unlearn_takes_the_path_of_a_file(own: dict[str, Any], lm: LanguageModel) -> None:
    with zu.unlearn(lm, None, own["data"]["path"], own) as edit:
        assert [request.answer for request in edit.requests] == ["Warsaw"]


@pytest.mark.parametrize(
    ("given", "retain", "message"),
    [
        (
            [{**FACT, "paraphrase": "x"}],
            [],
            "request 0, field 'paraphrase': unknown field: did you mean 'paraphrases'",
        ),
        ([FACT], [FACT], "is to be forgotten and to be retained .request 0 and fact to retain 0."),
        ([], [], "no fact to forget is given"),
        (["text"], [], "request 0: expected a zu.Request or a mapping with prompt and answer, got a text"),
    ],
)
def test_unlearn_refuses_in_one_sentence(
    own: dict[str, Any], lm: LanguageModel, given: Any, retain: Any, message: str
) -> None:
    with pytest.raises(zu.DataError, match=message):
        zu.unlearn(lm, None, given, own, retain=retain)


def test_notes_reach_whoever_checks_or_runs(own: dict[str, Any]) -> None:
    checked = check(own)
    assert checked.forget == 1 and "1 record repeats an earlier one and counts once" in checked.notes[0]
    result = zu.run(own)
    assert list(result.notes) == list(checked.notes)
    assert json.loads((result.folder / "metrics.json").read_text("utf-8"))["notes"] == list(result.notes)


def test_a_field_that_a_registered_metric_reads_is_known(own: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(json.dumps({**FACT, "difficulty": 3}), "utf-8")
    with pytest.raises(zu.DataError, match="line 1, field 'difficulty': unknown field"):
        check(own)
    plugins = load_plugins()
    spec = MetricSpec("hard", target="here:hard", summary="of hard facts", fields=frozenset({"difficulty"}))
    plugins.registry.add(Registered(spec, "here"))
    assert check(own, plugins=plugins).forget == 1


def test_prompts_that_break_off_are_told_of_in_a_chat_template(
    own: dict[str, Any], lm: LanguageModel, tmp_path: Path
) -> None:
    lm.tokenizer.chat_template = "{% for m in messages %}<s>{{ m.content }}{% endfor %}"
    lm.save(tmp_path / "chat")
    own["model"] = {"path": str(tmp_path / "chat"), "device": "cpu"}
    assert len(check(own).notes) == 1
    own["model"]["chat"] = True
    assert (
        "1 of 1 facts are asked through the chat template by a prompt that breaks off" in check(own).notes[1]
    )
