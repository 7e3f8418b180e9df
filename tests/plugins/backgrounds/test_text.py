"""General text from files: streamed, capped, and met at the door when broken."""

from __future__ import annotations

import sys
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


def test_a_large_file_is_not_read_ahead(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nnot json\n')
    stream = documents(TextOptions(path=str(tmp_path / "a.jsonl")))
    assert next(stream) == "one"
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: not JSON"):
        next(stream)


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
