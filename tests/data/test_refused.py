"""What no fact can be read from: refused with file, line or record, field and the way out, never a traceback."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from zu_framework import ConfigError, DataError
from zu_framework.data import Record, described, read_csv, read_file
from zu_plugins.datasets import own
from zu_plugins.datasets.options import FactsOptions


def refused(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(DataError) as caught:
        own.load(FactsOptions(path=str(path)), seed=0)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\x1b" not in said and len(said) < 1000
    return said.removeprefix(str(path))


def record(**fields: Any) -> str:
    return json.dumps(
        {"prompt": "The capital of France is", "subject": "France", "answer": "Paris", **fields}
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"paraphrase": ["x"]},
            "line 1, field 'paraphrase': unknown field: did you mean 'paraphrases'? fields",
        ),
        ({"Subject": "France"}, "field 'Subject': unknown field: did you mean 'subject'? "),
        ({"Answer": "x"}, "did you mean 'answer'?"),
        ({"neigbours": []}, "did you mean 'neighbours'?"),
        ({"difficulty": 3}, "field 'difficulty': unknown field: fields: prompt"),
        ({"\u001b[2Jkey": 1}, "field '\\x1b[2Jkey': unknown field"),
        ({"neighbours": ["a"], "neighbors": ["b"]}, "field 'neighbors': says what 'neighbours' says"),
        ({"question": "x"}, "field 'question': says what 'prompt' says"),
        (
            {"neighbours": [{"prompt": "a", "anwser": "b"}]},
            "field 'neighbours[0].anwser': unknown field: did you mean",
        ),
        ({"subject": "Rome"}, "field 'subject': 'Rome' does not occur in the prompt"),
        ({"subject": "france"}, "; it is written 'France' there"),
        ({"subject": " \n"}, "field 'subject': is empty"),
        ({"answer": "\u200b \ufeff"}, "field 'answer': is empty"),
        ({"answer": 1984}, "field 'answer': expected a text, got a number (1984)"),
        ({"answer": "a\0b"}, "field 'answer': character 1 is a NUL"),
        ({"answer": "x" * 200_000}, "field 'answer': has 200000 characters, and may have 131072"),
        ({"id": "\ud800"}, "field 'id': character 0 is half of a surrogate pair"),
        ({"paraphrases": ["a\udfff"]}, "field 'paraphrases[0]': character 1 is half"),
        ({"subject_start": 3}, "field 'subject_start': 'France' does not stand at character 3"),
        ({"choices": ["Rome", "Oslo"]}, "field 'choices': the answer 'Paris' is none of them"),
        ({"extra": [1]}, "field 'extra': expected an object, got a list"),
        ({"requested_rewrite": {}}, "is of a publisher's schema, which data.name=counterfact"),
        ({"id": 2**200}, "field 'id': is a number of 201 bits"),
        ({"neighbours": 3}, "field 'neighbours': expected a list, got a number"),
    ],
)
def test_a_field(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    assert message in refused(tmp_path / "f.jsonl", record(**fields))


def test_braces_without_a_subject(tmp_path: Path) -> None:
    said = refused(tmp_path / "f.jsonl", '{"prompt": "a", "answer": "b", "paraphrases": ["c", "{} d"]}')
    assert "field 'subject': missing, while paraphrases[1] holds {} for it" in said


def test_a_field_that_was_renamed_is_called_as_the_file_calls_it(tmp_path: Path) -> None:
    assert "field 'question': is empty" in refused(tmp_path / "f.jsonl", '{"question": " ", "answer": "x"}')
    said = refused(tmp_path / "f.jsonl", '{"prompt": "a", "ground_truth": [["x"], [3]]}')
    assert "field 'ground_truth': expected texts, got a number (3)" in said
    said = refused(
        tmp_path / "f.jsonl", '{"prompt": "a", "ground_truth": "x", "locality": {"a": [{"prompt": "b"}]}}'
    )
    assert "field 'locality.a[0].ground_truth': expected texts, got null" in said


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["user"], "a fact is one message of user and one of assistant; here speak: user"),
        (["assistant", "user"], "here speak: assistant, user"),
        (["user", "assistant", "user", "assistant"], "here speak: user, assistant, user, assistant"),
    ],
)
def test_messages_that_are_no_question_and_answer(tmp_path: Path, roles: list[str], message: str) -> None:
    turns = [{"role": role, "content": "x"} for role in roles]
    assert message in refused(tmp_path / "f.jsonl", json.dumps({"messages": turns}))
    turns = [
        {"role": "user", "content": [{"type": "image", "url": "x"}]},
        {"role": "assistant", "content": "x"},
    ]
    said = refused(tmp_path / "f.jsonl", json.dumps({"messages": turns}))
    assert "field 'messages[0].content': holds a part that is no text" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("The capital of France is,France,Paris\n", "line 1: no header row: the first row names the columns"),
        ("prompt|answer\na|b\n", "line 1: no header row"),
        (
            "prompt,paraphrase,answer\na,b,c\n",
            "line 2, field 'paraphrase': unknown field: did you mean 'paraphrases'?",
        ),
        ("prompt,answer\na,b,c\n", "line 2: 3 cells for 2 columns, which a comma separates; quote a text"),
        ("prompt;answer\na\n", "line 2: 1 cells for 2 columns, which a semicolon separates"),
        ("prompt,prompt,answer\na,b,c\n", "line 1: two columns are called 'prompt'"),
        ("prompt,,answer\na,b,c\n", "line 2: the first row has no name for the column of 'b'"),
        ('prompt,answer\na,"b\n', "line 2: not csv: unexpected end of data"),
        ('prompt,answer\n"a"b,c\n', "line 2: not csv: "),
        ("prompt,answer\n", ": holds no record"),
        ("prompt,answer\na,\n", "line 2, field 'answer': missing; the record has: prompt"),
        (f"prompt,answer\na,{'b' * 200_000}\n", "line 2: not csv: field larger than field limit"),
        (
            f"prompt,answer,aliases\na,b,{'[' * 100_000}\n",
            "line 2, field 'aliases': not usable JSON: lists or objects",
        ),
        (
            f"prompt,answer,aliases\na,b,[{'9' * 5000}]\n",
            "line 2, field 'aliases': not usable JSON: a number of",
        ),
        ('prompt,answer,aliases\na,b,"[x"\n', "line 2, field 'aliases': not JSON: "),
    ],
)
def test_a_table(tmp_path: Path, content: str, message: str) -> None:
    assert message in refused(tmp_path / "f.csv", content)


@pytest.mark.parametrize("name", ["f.jsonl", "f.csv", "f.dat"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt,answer\na,b".encode("utf-16"), "not UTF-8 text but UTF-16 text"),
        ("prompt,answer\na,b".encode("utf-16-le"), "line 1: holds NUL bytes: binary, or UTF-16 text"),
        ("prompt,answer\na,b".encode("utf-32"), "UTF-32 text"),
        (
            "prompt,answer\na,é".encode("latin-1"),
            "line 2: not UTF-8 text (byte 16, 0xe9); save it as UTF-8",
        ),
        (b"\x1f\x8b\x08", "compressed by gzip: unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel file of the old kind (.xls)"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    assert message in refused(tmp_path / name, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no record"),
        ("[]", "holds no record"),
        ('["a"]', 'record 1: expected an object, got a text ("a")'),
        ('{"prompt": "a", "answer": "b"}\n{"prompt": 1', "line 2: not JSON: "),
        ('{"prompt": "a", "prompt": "b", "answer": "c"}', "line 1: field 'prompt' stands twice: a text"),
        ("[" * 100_000, "not usable JSON: lists or objects nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", "line 1: not usable JSON: a number of thousands of digits"),
        ("3", "line 1: expected an object, got a number (3)"),
        ('\ufeff{"prompt": "a"}', "line 1, field 'answer': missing; the record has: prompt"),
    ],
)
def test_json(tmp_path: Path, content: str, message: str) -> None:
    assert message in refused(tmp_path / "f.jsonl", content)


def test_a_workbook_or_a_parquet_table_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="needs the extra `tables`")
    pytest.importorskip("pyarrow", reason="needs the extra `tables`")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.txt", "x")
    for content in (b"no zip", archive.getvalue()):
        assert "no workbook that can be read" in refused(tmp_path / "f.xlsx", content)
    assert "no Parquet table that can be read" in refused(tmp_path / "f.parquet", b"PAR1 cut off")


@pytest.mark.parametrize(("name", "package"), [("f.xlsx", "openpyxl"), ("f.parquet", "pyarrow")])
def test_a_table_that_needs_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        ConfigError, match=rf"needs the package {package}: pip install 'zu_framework\[tables\]'"
    ):
        read_file(str(tmp_path / name), "data.path")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "data.path is empty: give the file"),
        ("a\0b", r"data.path 'a\\x00b' is no path: it holds a NUL"),
        ("~nosuchuser/x.jsonl", "data.path '~nosuchuser/x.jsonl' is no path"),
    ],
)
def test_a_path_that_is_none(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own.load(FactsOptions(path=path), 0)


def test_a_folder_or_nothing_where_a_file_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; data.path names one file in it"):
        own.load(FactsOptions(path=str(tmp_path)), 0)
    with pytest.raises(DataError, match="no such file; data.path is relative to"):
        own.load(FactsOptions(path=str(tmp_path / "f.jsonl")), 0)
    (tmp_path / "l.jsonl").symlink_to("away")
    with pytest.raises(DataError, match="l.jsonl: a link to away, which is not there; data.path"):
        own.load(FactsOptions(path=str(tmp_path / "l.jsonl")), 0)


def test_a_number_of_many_digits_in_a_column_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"answer\n{'9' * 5000}\n", "utf-8")
    (row,) = read_csv(str(tmp_path / "f.csv"), "data.path")
    with pytest.raises(DataError, match="field 'answer': expected a whole number, got a text"):
        row.whole("answer")


def test_values_are_described_whatever_they_are() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert described(loop) == described(deep) == "a list (...)"
    assert described("\x1b" * 10**6).startswith('a text ("\\u001b') and len(described("x" * 10**6)) < 60
    with pytest.raises(DataError, match="^here, field 'a.b': missing; the record has: c$"):
        Record({"a": {"c": 1}}, "here").inside("a").text("b")
