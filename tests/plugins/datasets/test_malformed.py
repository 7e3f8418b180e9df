"""Broken files and records: each is refused with file, record and field, and never with a traceback of ours."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.datasets import pieces
from zu_framework import ConfigError, DataError
from zu_framework.engine.check import check
from zu_framework.registry.manager import installed_plugins
from zu_plugins.datasets import counterfact
from zu_plugins.datasets.options import CounterFactOptions

RECORD: dict[str, Any] = {
    "case_id": 7,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "subject": "Danielle Darrieux",
        "target_true": {"str": "French", "id": "Q150"},
        "target_new": {"str": "English", "id": "Q1860"},
    },
    "paraphrase_prompts": ["Danielle Darrieux, a native"],
    "neighborhood_prompts": ["The mother tongue of Léon Blum is"],
}


def changed(**paths: Any) -> dict[str, Any]:
    """RECORD with values replaced; `requested_rewrite__prompt=...`; `...` as a value deletes the field."""
    record = copy.deepcopy(RECORD)
    for path, value in paths.items():
        *parents, last = path.split("__")
        place = record
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return record


def load_counterfact(path: Path, **options: Any) -> Any:
    return counterfact.load(CounterFactOptions(path=str(path), **{"forget": 1, **options}), seed=0)


FILES: dict[str, tuple[bytes, str]] = {
    "not-json": (b"{'a': 1}", "not JSON"),
    "cut-off": (json.dumps([RECORD])[:-5].encode(), "not JSON"),
    "nothing": (b"", "holds no record"),
    "an-object": (b'{"records": []}', "expected a list of records, or an object a line, got one object"),
    "no-records": (b"[]", "holds no record"),
    "latin-1": ('["Léon"]'.encode("latin-1"), "not UTF-8 text (byte 3, 0xe9)"),
    "utf-16": (json.dumps([RECORD]).encode("utf-16"), "UTF-16 text"),
    "huge-number": (b"[" + b"9" * 5000 + b"]", "not usable JSON"),
    "nested": (b"[" * 100_000, "not usable JSON"),
    "a-list-of-texts": (b'["a fact"]', 'record 1: expected an object, got a text ("a fact")'),
}


@pytest.mark.parametrize("name", FILES)
def test_counterfact_files(tmp_path: Path, name: str) -> None:
    content, message = FILES[name]
    path = tmp_path / f"{name}.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_counterfact(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


RECORDS: dict[str, tuple[Any, str]] = {
    "no-rewrite": (
        changed(requested_rewrite=...),
        "field 'requested_rewrite': missing; the record has: case_id",
    ),
    "rewrite-list": (
        changed(requested_rewrite=[]),
        "field 'requested_rewrite': expected an object, got a list ([])",
    ),
    "no-prompt": (changed(requested_rewrite__prompt=...), "field 'requested_rewrite.prompt': missing"),
    "number-prompt": (
        changed(requested_rewrite__prompt=3),
        "'requested_rewrite.prompt': expected a text, got a number",
    ),
    "blank-prompt": (changed(requested_rewrite__prompt=" "), "field 'requested_rewrite.prompt': is empty"),
    "prompt-without-place": (
        changed(requested_rewrite__prompt="The tongue is"),
        "holds no {} for the subject",
    ),
    "named-place": (changed(requested_rewrite__prompt="The tongue of {0} is"), "holds no {} for the subject"),
    "no-subject": (changed(requested_rewrite__subject=...), "field 'requested_rewrite.subject': missing"),
    "empty-subject": (changed(requested_rewrite__subject=""), "field 'requested_rewrite.subject': is empty"),
    "null-subject": (changed(requested_rewrite__subject=None), "expected a text, got null"),
    "no-answer": (
        changed(requested_rewrite__target_true=...),
        "field 'requested_rewrite.target_true': missing",
    ),
    "text-answer": (
        changed(requested_rewrite__target_true="French"),
        "'requested_rewrite.target_true': expected an obj",
    ),
    "empty-answer": (
        changed(requested_rewrite__target_true__str=""),
        "'requested_rewrite.target_true.str': is empty",
    ),
    "no-paraphrases": (changed(paraphrase_prompts=...), "field 'paraphrase_prompts': missing"),
    "text-paraphrases": (
        changed(paraphrase_prompts="one"),
        "field 'paraphrase_prompts': expected a list, got a text",
    ),
    "number-neighbour": (
        changed(neighborhood_prompts=["a", 1]),
        "field 'neighborhood_prompts[1]': expected a text",
    ),
    "blank-neighbour": (changed(neighborhood_prompts=["\n"]), "field 'neighborhood_prompts[0]': is empty"),
    "half-a-character": (
        changed(requested_rewrite__subject="x\ud83d"),
        "character 1 is half of a surrogate pair",
    ),
    "odd-id": (
        changed(case_id=True),
        "field 'case_id': expected a text or a whole number, got true or false",
    ),
    "null-record": (None, "expected an object, got null"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_counterfact_records(tmp_path: Path, name: str) -> None:
    """The broken record is the second of three, and is found although the draw would not take it."""
    broken, message = RECORDS[name]
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([RECORD, broken, RECORD]), "utf-8")
    with pytest.raises(DataError) as caught:
        load_counterfact(path)
    assert str(caught.value).startswith(f"{path}, record 2") and message in str(caught.value)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; data.path is relative to"):
        load_counterfact(tmp_path / "absent.json")
    with pytest.raises(DataError, match="holds none of counterfact.json"):
        load_counterfact(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [("", "data.path is empty: give the file"), ("a\0b.json", "no path"), ("~nosuchuser/x.json", "no path")],
)
def test_no_path(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        counterfact.load(CounterFactOptions(path=path), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget": 3}, "data.forget is 3, but the second half of .* holds 2 records"),
        ({"retain": 2}, "data.retain is 2, but the first half of .* holds 1 records"),
        ({"protocol": "all", "forget": 4}, "data.forget is 4, but .* holds 3 records"),
        (
            {"protocol": "all", "forget": 2, "retain": 2},
            "data.retain is 2, but what 2 forget facts leave of .* holds 1",
        ),
    ],
)
def test_more_than_there_are(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "facts.json"
    records = [changed(requested_rewrite__subject=f"Danielle {n}") for n in range(3)]
    path.write_text(json.dumps(records), "utf-8")
    with pytest.raises(ConfigError, match=message):
        load_counterfact(path, **options)


def test_records_of_one_fact_are_one_and_told(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([RECORD, changed(paraphrase_prompts=["Her tongue is"])]), "utf-8")
    split = load_counterfact(path, protocol="all", forget="all")
    (request,) = split.forget
    assert request.paraphrases == ("Danielle Darrieux, a native", "Her tongue is")
    assert "1 record repeats an earlier one and counts once" in split.notes[0]
    assert "record 1 and record 2" in split.notes[0]


FAULTS = {
    "utf-16": ('[{"a": "b"}]'.encode("utf-16"), "UTF-16 text"),
    "binary": (b"\x00\x01\x02", "NUL bytes"),
    "latin-1": (b"\n\xe9", "line 2: not UTF-8 text"),
    "deep": (b"[" * 100_000, "nested too deep|not csv|columns|holds no record"),
    "digits": (b'[{"a": ' + b"9" * 5000 + b"}]", "thousands of digits|not csv|columns|holds no record"),
}


@pytest.mark.parametrize("name", sorted({*installed_plugins().registry.names("dataset")} - {"demo", "world"}))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_none_is_refused_whatever_the_data_set(tmp_path: Path, name: str, fault: str) -> None:
    overrides = pieces.everything(tmp_path)[name]
    content, message = FAULTS[fault]
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        check("demo", [f"data.name={name}", *overrides])
    assert str(tmp_path) in str(caught.value)
