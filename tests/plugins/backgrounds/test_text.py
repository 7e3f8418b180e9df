"""General text from files: streamed, capped, and met at the door when broken."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import pytest

from zu_framework import ConfigError, DataError
from zu_plugins.backgrounds.options import TextOptions
from zu_plugins.backgrounds.text import documents


def test_a_text_file_has_a_document_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n  two \n\t\nthree\n", encoding="utf-8")
    assert list(documents(TextOptions(path=str(tmp_path / "a.txt")))) == ["one", "two", "three"]
    assert list(documents(TextOptions(path=str(tmp_path / "a.txt"), documents=2))) == ["one", "two"]


def test_json_lines_hold_the_text_under_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one\\nmore", "body": "x"}\n\n{"text": " ", "body": "y"}\n')
    assert list(documents(TextOptions(path=str(tmp_path / "a.jsonl")))) == ["one\nmore"]
    assert list(documents(TextOptions(path=str(tmp_path / "a.jsonl"), field="body"))) == ["x", "y"]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}')
    (tmp_path / "c.pdf").write_bytes(b"no")
    assert list(documents(TextOptions(path=str(tmp_path)))) == ["first", "second"]


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nnot json\n')
    assert list(documents(TextOptions(path=str(tmp_path / "a.jsonl"), documents=1))) == ["one"]
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: not JSON"):
        documents(TextOptions(path=str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "a.txt: holds no text"),
        ("a.txt", b"\xff\xfe\x00", "a.txt: not UTF-8"),
        ("a.csv", b"x", "unknown kind of file; use .txt or .jsonl"),
        ("a.jsonl", b'{"body": "x"}', r"line 1, field 'text': expected a text; the line has: body"),
        ("a.jsonl", b"[1]", r"line 1, field 'text'"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(documents(TextOptions(path=str(tmp_path / name))))


def test_no_source_and_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="background.path is empty"):
        documents(TextOptions())
    with pytest.raises(ConfigError, match="path and dataset are both given"):
        TextOptions(path="a.txt", dataset="wikitext")
    with pytest.raises(DataError, match="the folder holds no .txt or .jsonl"):
        documents(TextOptions(path=str(tmp_path)))
    with pytest.raises(DataError, match="no such text file"):
        documents(TextOptions(path=str(tmp_path / "nowhere.txt")))


def test_the_hub_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'zu_framework\[hub\]'"):
        documents(TextOptions(dataset="wikitext"))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="documents must be at least 1"):
        TextOptions(documents=0)


def test_a_line_of_any_size_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Of a line of 24 MiB the first 4 are a document, and the next line is the next one."""
    file = tmp_path / "a.txt"
    with file.open("wb") as opened:
        for _ in range(24):
            opened.write("wörd ".encode() * (2**20 // 6))
        opened.write(b"\nnext\n")
    documents(TextOptions(path=str(file)))  # read through once, and remembered
    tracemalloc.start()
    first, second = documents(TextOptions(path=str(file)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first.startswith("wörd wörd") and 2**21 < len(first) < 2**22 and second == "next"
    assert peak < 24 * 2**20


@pytest.mark.parametrize("before", ["", '"id": {"a": [1, "x"]}, ', '"title": "a \\"b\\"", '])
@pytest.mark.parametrize("end", ["wörd ", "\\u00f6", "\\ud83d\\ude00", "\\\\", '\\"', "x"])
def test_a_json_line_of_any_size_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, end: str
) -> None:
    """Wherever the cut falls: in a word, in an escape, between the halves of a pair."""
    monkeypatch.setattr("zu_framework.data.documents.LONGEST", 2**12)
    file = tmp_path / "a.jsonl"
    for shift in range(14):
        text = " " * shift + end * (2**12 // len(end.encode()) + 100)
        file.write_text(f'{{{before}"text": "{text}"}}\n{{"text": "next"}}\n', "utf-8")
        first, second = documents(TextOptions(path=str(file)))
        assert second == "next" and len(first) > 2**8
        whole = json.loads(f'"{text}"')
        assert whole.startswith(first)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a \\ud800 b"}', "line 2, field 'text': character 2 is half of a surrogate pair"),
        ('{"text": ' + "9" * 5000 + "}", "line 2: not usable JSON: a number of thousands of digits"),
        ("[" * 100_000, "line 2: not usable JSON: lists or objects nested too deep"),
        ('{"text": 3}', "line 2, field 'text': expected a text; the line has: text"),
        ('{"body": "x"}', "line 2, field 'text': expected a text; the line has: body"),
        ('{"id": ' + "9" * (2**22), "line 2: no text under 'text' in the first 4 MiB"),
        ('{"id": [' + '"x",' * 2**20, "line 2: no text under 'text' in the first 4 MiB"),
        ("x" * (2**22 + 5), "line 2: not JSON: expected '{' at column 1"),
    ],
    ids=["surrogate", "digits", "deep", "number", "no key", "long number", "long list", "long text"],
)
def test_a_broken_line_is_met_at_the_call(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n', "utf-8")
    with pytest.raises(DataError) as caught:
        documents(TextOptions(path=str(tmp_path / "a.jsonl")))
    assert str(caught.value).startswith(f"{tmp_path}/a.jsonl, {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("some text".encode("utf-16"), "a.txt: not UTF-8 text but UTF-16 text"),
        ("some text".encode("utf-16-le"), "a.txt, line 1: holds NUL bytes: binary, or UTF-16 text"),
        (b"one\ntw\xf6\n", "a.txt, line 2: not UTF-8 text; save the file as UTF-8"),
        (b"one\ntw\xc3", "a.txt, line 2: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError) as caught:
        documents(TextOptions(path=str(tmp_path / "a.txt")))
    assert message in str(caught.value)


def test_files_that_people_really_have(shared: Path) -> None:
    for name, message in {
        "bg_surrogate": "line 1, field 'text': character 2 is half of a surrogate pair",
        "bg_bignumber": "line 1: not usable JSON",
    }.items():
        with pytest.raises(DataError, match=message):
            documents(TextOptions(path=str(shared / "cases" / "faults" / f"{name}.jsonl")))
