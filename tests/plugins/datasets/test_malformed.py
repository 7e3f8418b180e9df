"""Broken files and records: each is refused with file, record and field, and never with a traceback of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zu_framework import ConfigError, DataError
from zu_plugins.datasets import counterfact
from zu_plugins.datasets import own as jsonl
from zu_plugins.datasets.options import CounterFactOptions, JsonLinesOptions

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


def load_jsonl(path: Path, **options: Any) -> Any:
    return jsonl.load(JsonLinesOptions(path=str(path), **options), seed=0)


FILES: dict[str, tuple[bytes, str]] = {
    "not-json": (b"{'a': 1}", "not JSON"),
    "cut-off": (json.dumps([RECORD])[:-5].encode(), "not JSON"),
    "nothing": (b"", "not JSON"),
    "an-object": (b'{"records": []}', "expected a list of records, got an object"),
    "json-lines": (b'{"a": 1}\n{"a": 2}\n', "data.name=jsonl"),
    "no-records": (b"[]", "holds no record"),
    "latin-1": ('["Léon"]'.encode("latin-1"), "not UTF-8 text (byte 3)"),
    "utf-16": (json.dumps([RECORD]).encode("utf-16"), "not UTF-8 text"),
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


LINES: dict[str, tuple[str, str]] = {
    "not-json": ("{prompt: 1}", "not JSON: Expecting property name enclosed in double quotes (column 2)"),
    "a-list": ('["prompt"]', "expected an object, got a list"),
    "no-answer": ('{"prompt": "a"}', "field 'answer': missing"),
    "blank-answer": ('{"prompt": "a", "answer": "  "}', "field 'answer': is empty"),
    "subject-elsewhere": ('{"prompt": "b is", "subject": "a", "answer": "x"}', "does not occur in the prompt 'b is'"),
    "subject-missing": ('{"prompt": "{} is", "answer": "x"}', "field 'subject': missing, while the prompt holds {}"),
    "text-neighbours": ('{"prompt": "a", "answer": "x", "neighbours": "b"}', "field 'neighbours': expected a list"),
    "number-neighbour": ('{"prompt": "a", "answer": "x", "neighbours": [3]}', "'neighbours[0]': expected a text, or"),
    "half-neighbour": (
        '{"prompt": "a", "answer": "x", "neighbours": [{"prompt": "b"}]}',
        "field 'neighbours[0].answer': missing",
    ),
    "number-target": ('{"prompt": "a", "answer": "x", "target": 1}', "field 'target': expected a text, got a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("key", ["path", "retain_path"])
def test_json_lines(tmp_path: Path, name: str, key: str) -> None:
    line, message = LINES[name]
    good, broken = tmp_path / "good.jsonl", tmp_path / "broken.jsonl"
    good.write_text('{"prompt": "a", "answer": "x"}\n', "utf-8")
    broken.write_text(f'{{"prompt": "a", "answer": "x"}}\n\n{line}\n', "utf-8")
    with pytest.raises(DataError) as caught:
        load_jsonl(broken) if key == "path" else load_jsonl(good, retain_path=str(broken))
    assert str(caught.value).startswith(f"{broken}, line 3") and message in str(caught.value)


@pytest.mark.parametrize("load", [load_counterfact, load_jsonl])
def test_paths(tmp_path: Path, load: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="no such file; data.path is relative to"):
        load(tmp_path / "absent.json")
    message = (
        "holds none of counterfact.json"
        if load is load_counterfact
        else "is a folder; data.path names one file"
    )
    with pytest.raises(DataError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("module", "options"), [(counterfact, CounterFactOptions), (jsonl, JsonLinesOptions)]
)
def test_no_path(module: Any, options: Any) -> None:
    with pytest.raises(ConfigError, match="data.path is empty: give the file"):
        module.load(options(), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget": 3}, "data.forget is 3, but the second half of .* holds 2 records"),
        ({"forget": -1}, "data.forget must be 0 .all. or more, got -1"),
        ({"retain": 2}, "data.retain is 2, but the first half of .* holds 1 records"),
        ({"retain": -2}, "data.retain must be 0"),
        ({"protocol": "all", "forget": 4}, "data.forget is 4, but .* holds 3 records"),
        (
            {"protocol": "all", "forget": 2, "retain": 2},
            "data.retain is 2, but what 2 forget facts leave of .* holds 1",
        ),
    ],
)
def test_more_than_there_are(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([RECORD] * 3), "utf-8")
    with pytest.raises(ConfigError, match=message):
        load_counterfact(path, **options)


def test_records_that_share_a_case_id_are_two_records(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps([RECORD, RECORD]), "utf-8")
    split = load_counterfact(path, protocol="all", forget=0)
    assert [request.id for request in split.forget] == ["7", "7"]
