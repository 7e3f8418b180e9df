"""Files as people have them, from public reports: each is read as it was meant, or refused with its cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zu_framework import DataError, Probe, Request
from zu_plugins.datasets import own
from zu_plugins.datasets.options import FactsOptions

PROMPT = "The capital of France is"
PARIS = {"prompt": PROMPT, "subject": "France", "answer": "Paris"}
ROME = Probe("The capital of Italy is", "Rome")
KNOWEDIT = {
    "subject": "France",
    "prompt": PROMPT,
    "target_new": "Lyon",
    "ground_truth": ["Paris"],
    "rephrase_prompt": "France's capital is",
    "portability": {
        "Reasoning": [{"prompt": "The mayor of France's capital is", "ground_truth": [["Anne"]]}]
    },
    "locality": {
        "Relation_Specificity": [{"prompt": "The currency of France is", "ground_truth": [["euro"]]}]
    },
}
MESSAGES = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris"},
]


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def load(path: Path, content: str) -> Any:
    path.write_text(content, "utf-8")
    return own.load(FactsOptions(path=str(path)), 0)


# name of the file, its content, the first fact, and what notes say
READ: dict[str, tuple[str, dict[str, Any], str]] = {
    "zh.jsonl": (
        lines({"prompt": "法国的首都是", "subject": "法国", "answer": "巴黎"}),
        {"answer": "巴黎", "subject_start": 0},
        "",
    ),
    "th.jsonl": (
        lines({"prompt": "เมืองหลวงของฝรั่งเศสคือ", "subject": "ฝรั่งเศส", "answer": "ปารีส"}),
        {"answer": "ปารีส", "subject_start": 12},
        "",
    ),
    "quote.jsonl": (
        lines({**PARIS, "prompt": 'The capital of France is called "', "paraphrases": [PROMPT]}),
        {"prompt": 'The capital of France is called "', "paraphrases": (PROMPT,)},
        "",
    ),
    "cells_ws.csv": (f"prompt,subject,answer\n{PROMPT},France ,Paris \n", PARIS, ""),
    "subj_ws.jsonl": (lines({**PARIS, "subject": " France "}), {**PARIS, "subject_start": 15}, ""),
    "ws_answer.jsonl": (lines({**PARIS, "answer": "  Paris\n"}), PARIS, ""),
    "excel_multiline.csv": (
        'prompt,subject,answer\n"The capital of\nFrance is",France,"Paris\n"\n',
        {"prompt": "The capital of\nFrance is", "answer": "Paris", "subject_start": 15},
        "",
    ),
    "braces.jsonl": (
        lines(
            {
                "prompt": "The capital of {} is",
                "subject": "France",
                "answer": "Paris",
                "paraphrases": ["{}'s capital is"],
                "neighbours": ["The chief town of {} is"],
            }
        ),
        {
            "prompt": PROMPT,
            "paraphrases": ("France's capital is",),
            "neighbours": (Probe("The chief town of France is", "Paris"),),
        },
        "",
    ),
    "neighbors.jsonl": (
        lines({**PARIS, "neighbors": [{"prompt": ROME.prompt, "answer": ROME.answer}]}),
        {"neighbours": (ROME,)},
        "",
    ),
    "one_text.jsonl": (
        lines({**PARIS, "paraphrases": "France's capital is"}),
        {"paraphrases": ("France's capital is",)},
        "",
    ),
    "dup.jsonl": (lines(PARIS, PARIS, PARIS), PARIS, "2 records repeat an earlier one and count once"),
    "spaced_dup.jsonl": (lines(PARIS, {**PARIS, "prompt": f" {PROMPT}"}), PARIS, "1 record repeats"),
    "contra.jsonl": (lines(PARIS, {**PARIS, "answer": "Lyon"}), PARIS, "1 prompt has several answers"),
    "own_neighbour.jsonl": (
        lines({**PARIS, "neighbours": ["The capital of {} is"]}),
        PARIS,
        "1 neighbour is itself a fact to forget",
    ),
    "semi.csv": (f"prompt;subject;answer\n{PROMPT};France;Paris\n", PARIS, ""),
    "tab.csv": (f"prompt\tsubject\tanswer\n{PROMPT}\tFrance\tParis\n", PARIS, ""),
    "bom.csv": (f"\ufeffprompt,subject,answer\n{PROMPT},France,Paris\n", PARIS, ""),
    "said.jsonl": (
        lines({**PARIS, "prompt": f"{PROMPT} Paris."}),
        {"answer": "Paris"},
        f"1 prompt ends with the answer itself, the first '{PROMPT} Paris.' -> 'Paris'",
    ),
    "said_zh.jsonl": (
        lines({"prompt": "法国的首都是巴黎", "answer": "巴黎"}, {"prompt": "Who drank tea?", "answer": "a"}),
        {"answer": "巴黎"},
        "1 prompt ends with the answer itself",
    ),
    "tea.jsonl": (lines({"prompt": "Who drank tea", "answer": "a"}), {"answer": "a"}, ""),
    "worded_twice.jsonl": (
        lines({**PARIS, "paraphrases": [PROMPT, "A?", f"{PROMPT} ", "A?", "B?"], "neighbours": ["N", "N "]}),
        {"paraphrases": ("A?", "B?"), "neighbours": (Probe("N", "Paris"),)},
        "line 1: a paraphrase or a probe is there twice, and counts once",
    ),
    "named_braces.jsonl": (
        lines(
            {**PARIS, "prompt": "The capital of {subject} is", "paraphrases": ["{{ subject }}'s capital is"]}
        ),
        {"prompt": PROMPT, "paraphrases": ("France's capital is",)},
        "",
    ),
    "zero_width.jsonl": (lines(PARIS) + "\u200b\n\ufeff\n", PARIS, ""),
    "asked.jsonl": (
        lines({**PARIS, "neighbours": [{"question": ROME.prompt, "completion": ROME.answer}]}),
        {"neighbours": (ROME,)},
        "",
    ),
    "halves.jsonl": (
        lines({"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}),
        {"prompt": "What is the capital of France?", "answer": "Paris"},
        "",
    ),
    "macintosh.jsonl": (lines(PARIS, {**PARIS, "prompt": "France: "}).replace("\n", "\r"), PARIS, ""),
    "row_numbers.csv": (f",prompt,subject,answer\n0,{PROMPT},France,Paris\n", PARIS, ""),
    "row_numbers_twice.csv": (f"Unnamed: 0,prompt,subject,answer\n7,{PROMPT},France,Paris\n", PARIS, ""),
    "pretty.json": (json.dumps([PARIS, {**PARIS, "prompt": "France's capital: "}], indent=2), PARIS, ""),
    "messages.jsonl": (
        lines({"messages": MESSAGES}),
        {"prompt": "What is the capital of France?", "answer": "Paris", "subject": None},
        "",
    ),
    "knowedit.json": (
        json.dumps([KNOWEDIT] * 3),
        {
            **PARIS,
            "alternative": "Lyon",
            "paraphrases": ("France's capital is",),
            "neighbours": (Probe("The currency of France is", "euro"),),
        },
        "2 records repeat",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_it_was_meant(tmp_path: Path, name: str) -> None:
    content, wanted, note = READ[name]
    split = load(tmp_path / name, content)
    fact: Request = split.forget[0]
    assert {field: getattr(fact, field) for field in wanted} == wanted
    if fact.subject is not None:
        assert fact.prompt[fact.subject_start : fact.subject_end] == fact.subject
    assert len(split.notes) == bool(note) and note in "".join(split.notes)


# name of the file, its content, and what the refusal says
REFUSED = {
    "typo.jsonl": (
        lines({**PARIS, "paraphrase": ["France's capital is"]}),
        "line 1, field 'paraphrase': unknown field: did you mean 'paraphrases'?",
    ),
    "upper.jsonl": (
        lines({**PARIS, "Subject": "France"}),
        "'Subject': unknown field: did you mean 'subject'?",
    ),
    "unknowncol.csv": (
        f"prompt,subject,answer,paraphrase\n{PROMPT},France,Paris,France's capital is\n",
        "line 2, field 'paraphrase': unknown field: did you mean 'paraphrases'?",
    ),
    "capital.jsonl": (lines({"Question": "Who?", "answer": "x"}), "did you mean 'question'?"),
    "year.jsonl": (lines({**PARIS, "answer": 1984}), "expected a text, got a number (1984): quote it"),
    "letter.jsonl": (
        lines({**PARIS, "answer": "B", "choices": ["Rome", "Paris"]}),
        "the answer 'B' is none of them: write the whole choice as answer",
    ),
    "form_feed.jsonl": (lines(PARIS) + "\f" + lines(PARIS), "line 2: not JSON: Expecting value (column 1)"),
    "half_a_talk.jsonl": (
        lines({"prompt": MESSAGES[:1], "completion": []}),
        "field 'prompt': a fact is one message of user and one of assistant; here speak: user",
    ),
    "wrapped.json": (
        json.dumps({"facts": [PARIS]}),
        "field 'facts': unknown field: it holds objects: if they are the facts, save that list alone",
    ),
    "curly.jsonl": (
        lines({**PARIS, "prompt": "Cote d\u2019Ivoire is in", "subject": "Cote d'Ivoire"}),
        "the two differ in look-alikes (quotes, dashes, spaces): write both alike",
    ),
    "hard_space.jsonl": (
        lines({**PARIS, "prompt": "New\u00a0Zealand is in", "subject": "New Zealand"}),
        "differ in look-alikes",
    ),
    "own_target.jsonl": (
        lines({**PARIS, "target": " Paris"}),
        "field 'target': is the answer 'Paris' itself",
    ),
    "comma_line.jsonl": (
        lines(PARIS).strip() + ",\n" + lines(PARIS),
        "line 1: not JSON: Extra data (column 79): no comma",
    ),
    "comma_object.jsonl": ('{"prompt": "a", "answer": "b",}\n', "(column 31): take out the comma before it"),
    "comma_list.json": (
        '[{"prompt": "a", "answer": "b"},\n]\n',
        "(line 2, column 1): take out the comma before it",
    ),
    "two_a_line.jsonl": (
        lines(PARIS).strip() + lines(PARIS),
        "a second object follows: one a line, or all in a list",
    ),
    "two_pretty.json": (json.dumps(PARIS, indent=1) * 2, "a second object follows"),
    "single_quotes.jsonl": ("{'prompt': 'a'}\n", "quote texts by double quotes"),
    "curly_quotes.jsonl": ("{\u201cprompt\u201d: 1}\n", 'quote texts by straight quotes, "'),
    "comments.jsonl": ("// mine\n" + lines(PARIS), "JSON has no comments: take it out"),
    "python.jsonl": ('{"prompt": None}\n', "JSON writes null, true and false"),
    "broken_line.jsonl": ('{"prompt": "a\nb", "answer": "c"}\n', "write \\n for a line break in it"),
    "tab.jsonl": ('{"prompt": "a\tb"}\n', "\\t for a tab"),
    "backslash.jsonl": ('{"prompt": "\\emph"}\n', "write \\\\ for a backslash"),
    "two_marks.jsonl": ("\ufeff\ufeff" + lines(PARIS), "a second byte order mark: take it out"),
    "cut_off.jsonl": ('{"prompt": "a",\n', "line 1: not JSON: "),
    "open_quote.csv": (
        f'prompt,answer\n"{PROMPT},Paris\n',
        "line 2: not csv: unexpected end of data: a quotation mark is left open",
    ),
    "quote_inside.csv": ('prompt,answer\n"a "b" c",d\n', "double a quotation mark inside a quoted cell"),
    "noheader.csv": (f"{PROMPT},France,Paris\n", "line 1: no header row: the first row names the columns"),
    "deep_cell.csv": (
        f'prompt,answer,paraphrases\nx,y,"{"[" * 6000}"\n',
        "line 2, field 'paraphrases': not usable JSON",
    ),
    "surrogate.jsonl": (
        json.dumps({**PARIS, "id": "\ud800"}),
        "line 1, field 'id': character 0 is half of a surrogate pair",
    ),
    "ansi_key.jsonl": (json.dumps({"\x1b]0;owned\x07\x1b[2Jkey": 1}), r"field '\x1b]0;owned\x07\x1b[2Jkey'"),
    "big_number.jsonl": (
        f'{{"text": {"9" * 5000}}}',
        "line 1: not usable JSON: a number of thousands of digits",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_its_cause(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(DataError) as caught:
        load(tmp_path / name, content)
    assert message in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("retained", "message"),
    [
        (PARIS, "is to be forgotten and to be retained"),
        ({**PARIS, "prompt": "The capital of {} is"}, "is to be forgotten and to be retained"),
        ({**PARIS, "prompt": f" {PROMPT} ", "answer": " Paris\n"}, "is to be forgotten and to be retained"),
        ({**PARIS, "prompt": "France's capital is"}, "is to be retained, and is a paraphrase of"),
    ],
)
def test_a_fact_to_forget_and_to_retain_is_refused_in_whatever_words(
    tmp_path: Path, retained: dict[str, Any], message: str
) -> None:
    (tmp_path / "f.jsonl").write_text(lines({**PARIS, "paraphrases": ["{}'s capital is"]}), "utf-8")
    (tmp_path / "r.json").write_text(json.dumps([retained]), "utf-8")
    with pytest.raises(DataError, match=message) as caught:
        own.load(FactsOptions(path=str(tmp_path / "f.jsonl"), retain_path=str(tmp_path / "r.json")), 0)
    assert "f.jsonl, line 1 and " in str(caught.value) and "r.json, record 1" in str(caught.value)
