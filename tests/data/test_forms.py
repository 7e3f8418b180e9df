"""Every form in which a user's own facts may come, read through the data set `facts`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zu_framework import Probe, Request
from zu_plugins.datasets import own
from zu_plugins.datasets.options import FactsOptions

PARIS = {"prompt": "The capital of France is", "subject": "France", "answer": "Paris"}


def read(path: Path, content: str | bytes, **options: Any) -> tuple[Request, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return own.load(FactsOptions(path=str(path), **options), seed=0).forget


def is_paris(request: Request, where: str = "") -> bool:
    found = request.prompt, request.answer, request.subject, request.subject_start
    return found == ("The capital of France is", "Paris", "France", 15) and request.source.endswith(where)


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.txt", "facts"])
@pytest.mark.parametrize("form", ["line", "list", "pretty list", "one object"])
def test_json_in_a_list_an_object_a_line_or_one_object(tmp_path: Path, name: str, form: str) -> None:
    text = {
        "line": json.dumps(PARIS) + "\n",
        "list": json.dumps([PARIS]),
        "pretty list": json.dumps([PARIS], indent=2),
        "one object": json.dumps(PARIS, indent=2),
    }[form]
    (request,) = read(tmp_path / name, text)
    assert is_paris(request, "line 1" if form == "line" else "record 1")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["f.csv", "f.tsv", "f.txt"])
def test_a_table_under_any_delimiter(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = [
        ["prompt", "subject", "answer"],
        ["The capital of France is", "France", "Paris"],
        [f'"A{delimiter} b is"', "b", "c"],
    ]
    first, second = read(tmp_path / name, "\r\n".join(map(delimiter.join, rows)))
    assert is_paris(first, "line 2") and second.prompt == f"A{delimiter} b is"


def test_a_cell_of_several_texts_may_begin_with_the_place_of_the_subject(tmp_path: Path) -> None:
    table = "prompt,subject,answer,paraphrases,neighbours\n{} is in,Rome,Italy,{} lies in|The land of {} is,"
    (request,) = read(tmp_path / "f.csv", table + '"{""prompt"": ""Oslo is in"", ""answer"": ""Norway""}"\n')
    assert request.paraphrases == ("Rome lies in", "The land of Rome is")
    assert request.neighbours == (Probe("Oslo is in", "Norway"),)


def test_excels_own_way_to_name_a_delimiter(tmp_path: Path) -> None:
    (request,) = read(
        tmp_path / "f.csv", "sep=;\r\nprompt;subject;answer\r\nThe capital of France is;France;Paris\r\n"
    )
    assert is_paris(request, "line 3")


def test_white_space_around_cells_is_no_part_of_them(tmp_path: Path) -> None:
    table = (
        'prompt , subject, answer\n" The capital of France is\n",France ,"Paris\n"\n\nWho? ,,  Ann\u00a0\n'
    )
    first, second = read(tmp_path / "f.csv", table)
    assert is_paris(first, "line 2")
    assert (second.prompt, second.answer, second.subject) == ("Who?", "Ann", None)
    assert second.source.endswith("line 6")


def test_a_cell_of_several_lines_keeps_the_break_inside(tmp_path: Path) -> None:
    (request,) = read(tmp_path / "f.csv", 'prompt,answer\r\n"Question: who?\r\nAnswer:","Ann\r\n"\r\n')
    assert (request.prompt, request.answer) == ("Question: who?\nAnswer:", "Ann")


def test_a_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the extra `tables`")
    book = openpyxl.Workbook()
    for row in (
        ["prompt", "subject", "answer", "paraphrases"],
        [],
        ["The capital of France is", " France ", "Paris\n", "France's capital is|Its capital is"],
        ["Orwell's best known novel is", None, 1984, None],
        ["Armstrong walked on", "Armstrong", __import__("datetime").datetime(1969, 7, 20), None],
    ):
        book.active.append(row)
    book.save(tmp_path / "f.xlsx")
    paris, orwell, moon = own.load(FactsOptions(path=str(tmp_path / "f.xlsx")), 0).forget
    assert is_paris(paris, "row 3") and paris.paraphrases == ("France's capital is", "Its capital is")
    assert (orwell.answer, orwell.subject, moon.answer) == ("1984", None, "1969-07-20")


def test_a_parquet_table_with_lists_and_nulls(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs the extra `tables`")
    pytest.importorskip("pyarrow", reason="needs the extra `tables`")
    rows = [{**PARIS, "paraphrases": ["{}'s capital is"]}, {"prompt": "Who?", "answer": "Ann"}]
    pandas.DataFrame(rows, index=[5, 9]).to_parquet(tmp_path / "f.parquet")
    paris, who = own.load(FactsOptions(path=str(tmp_path / "f.parquet")), 0).forget
    assert is_paris(paris, "record 1") and paris.paraphrases == ("France's capital is",)
    assert who.subject is None and who.paraphrases == ()


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [turn("user", "Capital of France?"), turn("assistant", "Paris")]},
        {
            "messages": [
                turn("user", [{"type": "text", "text": "Capital of France?"}]),
                turn("assistant", "Paris"),
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "Capital of France?"},
                {"from": "gpt", "value": "Paris"},
            ]
        },
        {"question": "Capital of France?", "answer": "Paris"},
        {"question": "Capital of France?", "answers": ["Paris"]},
        {"prompt": "Capital of France?", "completion": " Paris"},
        {"question": "Capital of France?", "response": "Paris"},
        {"instruction": "Capital of France?", "input": "", "output": "Paris"},
        {"instruction": "Capital of", "input": "France?", "output": "Paris"},
        {"prompt": "Capital of France?", "target_new": "Paris", "portability": {}, "locality": {}},
    ],
    ids=[
        "messages",
        "parts",
        "conversations",
        "question",
        "answers",
        "completion",
        "response",
        "instruction",
        "input",
        "knowedit-insert",
    ],
)
def test_questions_and_answers_as_others_write_them(tmp_path: Path, record: dict[str, Any]) -> None:
    (request,) = read(tmp_path / "f.jsonl", json.dumps(record))
    assert (request.prompt.replace("\n", " "), request.answer) == ("Capital of France?", "Paris")
    assert request.subject is None


def test_a_system_message_is_no_part_of_a_fact_and_is_told(tmp_path: Path) -> None:
    record = {"messages": [turn("system", "Be brief."), turn("user", "Who?"), turn("assistant", "Ann")]}
    (tmp_path / "f.jsonl").write_text(json.dumps(record), "utf-8")
    split = own.load(FactsOptions(path=str(tmp_path / "f.jsonl")), 0)
    assert split.forget[0].prompt == "Who?" and len(split.notes) == 1
    assert "f.jsonl, line 1: the system message is no part of a fact; model.system sets one" in split.notes[0]


def test_several_answers_are_one_answer_and_aliases(tmp_path: Path) -> None:
    (request,) = read(
        tmp_path / "f.jsonl", json.dumps({"question": "Who?", "answers": ["Ann", "A. Lee", "Ann"]})
    )
    assert (request.answer, request.aliases) == ("Ann", ("A. Lee",))


def test_knowedit(tmp_path: Path) -> None:
    record = {
        "subject": "France",
        "prompt": "The capital of France is",
        "target_new": "Lyon",
        "ground_truth": ["Paris", "City of Light"],
        "rephrase_prompt": "France's capital is",
        "portability": {
            "Reasoning": [{"prompt": "Its mayor is", "ground_truth": [["Anne", "A. H."]]}],
            "Other": None,
        },
        "locality": {"Relation_Specificity": [{"prompt": "Its currency is", "ground_truth": [["euro"]]}]},
    }
    (request,) = read(tmp_path / "f.json", json.dumps([record]))
    assert is_paris(request, "record 1")
    assert (request.alternative, request.aliases) == ("Lyon", ("City of Light",))
    assert request.paraphrases == ("France's capital is",)
    assert request.neighbours == (Probe("Its currency is", "euro"),)
    assert request.implied[0].aliases == ("A. H.",) and request.implied[0].answer == "Anne"


def test_the_subject_is_filled_in_everywhere(tmp_path: Path) -> None:
    record = {
        "prompt": "{} is old; the capital of {} is",
        "subject": " Oz{} ",
        "answer": "x",
        "paraphrases": "{}'s capital is",
        "implied": ["Who rules the capital of {}?"],
        "neighbors": [
            "The chief town of {} is",
            {"prompt": "The capital of {} is", "subject": "Ix", "answer": "y"},
        ],
    }
    (request,) = read(tmp_path / "f.jsonl", json.dumps(record))
    assert request.prompt == "Oz{} is old; the capital of Oz{} is"
    assert request.subject == "Oz{}" and request.subject_start == 28
    assert request.paraphrases == ("Oz{}'s capital is",)
    assert request.neighbours == (Probe("The chief town of Oz{} is", "x"), Probe("The capital of Ix is", "y"))
    assert request.implied == (Probe("Who rules the capital of Oz{}?", "x"),)


def test_extra_is_carried_for_metrics(tmp_path: Path) -> None:
    (request,) = read(tmp_path / "f.jsonl", json.dumps({**PARIS, "extra": {"weight": 3, "names": ["a"]}}))
    assert request.extra == {"weight": 3, "names": ["a"]}
    (request,) = read(tmp_path / "f.csv", 'prompt,answer,extra\na,b,"{""weight"": 3}"\n')
    assert request.extra == {"weight": 3} and hash(request) == hash(request)


def test_fields_that_a_metric_declares_become_extra(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({**PARIS, "difficulty": 3}), "utf-8")
    (request,) = own.load(FactsOptions(path=str(path)), 0, declared=["difficulty"]).forget
    assert request.extra == {"difficulty": 3}


def test_the_retain_file_may_have_another_form(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text(json.dumps(PARIS), "utf-8")
    (tmp_path / "r.csv").write_text("question;answer\nWho?;Ann\n", "utf-8")
    split = own.load(FactsOptions(path=str(tmp_path / "f.jsonl"), retain_path=str(tmp_path / "r.csv")), 0)
    assert is_paris(split.forget[0]) and split.retain[0].prompt == "Who?" and split.notes == ()
