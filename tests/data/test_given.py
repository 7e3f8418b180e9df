"""Facts given in Python: the parser of files reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zu_framework import DataError, Probe, Request
from zu_framework.data import requests_from, split_from

PARIS: dict[str, Any] = {"prompt": "The capital of {} is", "subject": "France", "answer": "Paris"}


def one(**fields: Any) -> Request:
    (request,) = requests_from([{**PARIS, **fields}]).requests
    return request


def test_a_mapping_is_read_as_a_line_of_a_file_is(tmp_path: Path) -> None:
    fields = {
        "paraphrases": "{}'s capital is",
        "neighbours": "The chief town of {} is",
        "aliases": ("P.",),
        "choices": ["Paris", "Rome"],
        "extra": {"weight": 3},
        "id": 7,
    }
    (tmp_path / "f.json").write_text(json.dumps([{**PARIS, **fields, "aliases": ["P."]}]), "utf-8")
    (from_file,) = requests_from(tmp_path / "f.json").requests
    given = one(**fields)
    assert {**vars(given), "source": ""} == {**vars(from_file), "source": ""}
    assert given.source == "request 0"
    assert given.prompt == "The capital of France is" and given.subject_start == 15
    assert given.paraphrases == ("France's capital is",)
    assert given.neighbours == (Probe("The chief town of France is", "Paris"),)


@pytest.mark.parametrize(
    "neighbours",
    [Probe("a", "b"), {"prompt": "a", "answer": "b"}, [Probe("a", "b")], ({"prompt": "a", "answer": "b"},)],
)
def test_probes_in_any_shape(neighbours: Any) -> None:
    assert one(neighbours=neighbours).neighbours == (Probe("a", "b"),)


def test_one_alone_a_list_a_generator_or_a_request() -> None:
    request = Request("Who?", "Ann")
    assert requests_from(request).requests == (request,)
    assert len(requests_from(PARIS).requests) == 1
    assert len(requests_from(item for item in (PARIS, request)).requests) == 2
    assert requests_from([{"question": "Who?", "answer": " Ann\n"}]).requests[0].answer == "Ann"


def test_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([PARIS, {"prompt": "Who?", "answer": "Ann"}])
    first, second = requests_from(frame).requests
    assert first.subject == "France" and second.subject is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3], "request 0: expected a zu.Request or a mapping with prompt and answer, got a number (3)"),
        (["The capital of France is"], "request 0: expected a zu.Request or a mapping"),
        (3, "requests: expected a list of facts, got a number (3)"),
        ([PARIS, {"prompt": "a"}], "request 1, field 'answer': missing; the record has: prompt"),
        (
            [{**PARIS, "paraphrase": "x"}],
            "request 0, field 'paraphrase': unknown field: did you mean 'paraphrases'?",
        ),
        ([{**PARIS, 3: "x"}], "request 0, field '3': unknown field"),
        (
            [{**PARIS, "answer": "\ud800"}],
            "request 0, field 'answer': character 0 is half of a surrogate pair",
        ),
        ([{**PARIS, "neighbours": [3]}], "request 0, field 'neighbours[0]': expected a text, or an object"),
        ([Request("a", "b\ud800")], "request 0, field 'answer': character 1 is half of a surrogate pair"),
        (
            [Request("a", "b", neighbours=(Probe("c\0", "d"),))],
            "request 0, field 'neighbours': character 1 is a NUL",
        ),
        ([Request("a", "b", aliases=(3,))], "request 0, field 'aliases': expected a text, got a number (3)"),
        ([], "no fact to forget is given"),
        ("nowhere.jsonl", "nowhere.jsonl: no such file; the path of requests is relative to"),
    ],
)
def test_what_is_no_fact(given: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        split_from(given)
    assert message in str(caught.value)


def test_facts_to_forget_and_to_retain_must_agree() -> None:
    split = split_from([PARIS, PARIS], [{"prompt": "Who?", "answer": "Ann"}] * 3)
    assert len(split.forget) == 1 and len(split.retain) == 1
    assert split.notes[0].startswith("facts to forget: 1 record repeats an earlier one and counts once")
    assert (
        "(request 0 and request 1)" in split.notes[0]
        and "facts to retain: 2 records repeat" in split.notes[1]
    )
    with pytest.raises(DataError, match=r"to be retained \(request 0 and fact to retain 1\)"):
        split_from([PARIS], [{"prompt": "Who?", "answer": "Ann"}, PARIS])
