"""Small files in each publisher's schema, with invented content. The schemas are those of the publishers' own pages.

MUSE: the tables knowmem (question, answer), verbmem (prompt, gt) and privleak (text) of muse-bench on the hub. RWKU:
query, answer, level, type and subject, as its evaluation reads them. WMDP: question, choices, answer of cais/wmdp.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

COUNTERFACT: Rows = [
    {
        "case_id": n,
        "requested_rewrite": {
            "prompt": "{} lies in",
            "subject": f"Quin{n}",
            "target_true": {"str": f"Place {n}", "id": "Q1"},
            "target_new": {"str": "Elsewhere", "id": "Q2"},
        },
        "paraphrase_prompts": [f"Where Quin{n} lies is"],
        "neighborhood_prompts": ["Other lies in"],
    }
    for n in range(4)
]

EDITS: Rows = [
    {
        "case_id": n,
        "prompt": f"Quin{n} of Quin{n} lies in ",
        "subject": f"Quin{n}",
        "ground_truth": f"Place {n}",
        "target_new": "Elsewhere",
        "rephrase_prompt": f"Where Quin{n} lies is",
        "locality_prompt": "Other lies in",
        "locality_ground_truth": "Somewhere",
    }
    for n in range(4)
]

ZSRE: Rows = [
    {
        "subject": f"Quin{n}",
        "src": f"Who built Quin{n}?",
        "pred": "Nobody",
        "rephrase": f"Quin{n}'s builder?",
        "alt": "Ann" if n else "",
        "answers": ["Bob", "Robert"],
        "loc": "nq question: who sings best",
        "loc_ans": "Zed",
        "cond": "...",
    }
    for n in range(4)
]


def _rewrite(prompt: str, subject: str, true: str, new: str) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "subject": subject,
        "relation_id": "P1",
        "target_true": {"str": true, "id": "Q1"},
        "target_new": {"str": new, "id": "Q2"},
        "question": f"Tell of {subject}?",
    }


def _hop(cloze: str, answer: str, *aliases: str) -> dict[str, Any]:
    return {"question": "?", "cloze": cloze, "answer": answer, "answer_alias": list(aliases)}


MQUAKE: Rows = [
    {
        "case_id": 1,
        "requested_rewrite": [
            _rewrite("{} was sung by", "Hey", "Bea", "Mad"),
            _rewrite("The manager of {} is", "Mad", "Guy", "Nar"),
        ],
        "questions": ["Who manages the singer of Hey?", "Hey's singer's manager?"],
        "answer": "Brian",
        "answer_alias": ["Brian S."],
        "new_answer": "Nar",
        "new_answer_alias": [],
        "single_hops": [_hop("Hey was sung by", "Bea", "The Bea"), _hop("The manager of Bea is", "Brian")],
        "new_single_hops": [_hop("Hey was sung by", "Mad"), _hop("The manager of Mad is", "Nar")],
    },
    {
        "case_id": 2,
        "requested_rewrite": [_rewrite("{} was sung by", "Hey", "Bea", "Mad")],
        "questions": ["Where was Hey's singer born?"],
        "answer": "Pool",
        "answer_alias": [],
        "new_answer": "Bay",
        "new_answer_alias": [],
        "single_hops": [_hop("Hey was sung by", "Bea", "Beas"), _hop("Bea was born in", "Pool")],
        "new_single_hops": [_hop("Hey was sung by", "Mad"), _hop("Mad was born in", "Bay")],
    },
]


def qa(name: str, count: int) -> Rows:
    return [{"question": f"What is {name} {n}?", "answer": f"It is {n}."} for n in range(count)]


def perturbed(rows: Rows, wrong: int = 5) -> Rows:
    return [
        {
            **row,
            "paraphrased_answer": f"Indeed: {row['answer']}",
            "perturbed_answer": [f"Wrong {j}" for j in range(wrong)],
            "paraphrased_question": f"Say: {row['question']}",
        }
        for row in rows
    ]


def facts(name: str) -> Rows:
    return [
        {
            "question": f"{name}?",
            "answer": "Yes",
            "perturbed_answer": ["No", "So", "Nay"],
            "original_answer": "Yes it is.",
        }
    ]


TOFU: dict[str, Rows] = {
    "forget01": qa("forgotten", 3),
    "forget01_perturbed": perturbed(qa("forgotten", 3)),
    "forget05": qa("more", 5),
    "retain99": qa("kept", 6),
    "retain_perturbed": perturbed(qa("kept", 2)),
    "real_authors_perturbed": facts("Real"),
    "world_facts": qa("world", 2),
    "holdout01": qa("held", 1),
}

MUSE: dict[str, Rows] = {
    "knowmem/forget_qa": qa("forgotten", 3),
    "knowmem/retain_qa": qa("kept", 2),
    "verbmem/forget": [{"prompt": "It was a dark ", "gt": "and stormy night"}],
    "privleak/forget": [{"text": "Text F"}, {"text": "Text F2"}],
    "privleak/retain": [{"text": "Text R"}],
    "privleak/holdout": [{"text": "Text H"}],
}


def probe(query: str, level: int, kind: str, subject: str = "Ann Lee") -> dict[str, Any]:
    return {"query": query, "answer": "Rome", "level": str(level), "type": kind, "subject": subject}


RWKU: dict[str, Rows] = {
    "forget_level1": [
        probe("Ann Lee was born in ___.", 1, "cloze"),
        probe("Bo Orr was born in ___.", 1, "cloze", "Bo Orr"),
    ],
    "forget_level2": [probe("Where was the singer of Hey born?", 2, "simple question")],
    "forget_level3": [
        probe("Where? Sure, here it is:", 3, "affirmative suffix"),
        probe("Question: A?\nAnswer: B\nQuestion: Where?", 3, "incontext learning"),
        probe("Wo?", 3, "cross lingual"),
    ],
    "neighbor_level1": [probe("Lee sings ___.", 1, "cloze"), probe("Orr sings ___.", 1, "cloze", "Bo Orr")],
    "neighbor_level2": [probe("Who is Lee?", 2, "simple question")],
    "forget_mia": [{"text": "Ann Lee is", "subject": "Ann Lee"}, {"text": "Bo Orr is", "subject": "Bo Orr"}],
    "retain_mia": [{"text": "Nobody is", "subject": "Cy"}],
}


def choices(name: str, count: int) -> Rows:
    return [
        {"question": f"Which {name} {n}?", "choices": ["one", "two", "three", "four"], "answer": n % 4}
        for n in range(count)
    ]


WMDP: dict[str, Rows] = {"bio_questions": choices("bio", 3), "cyber_questions": choices("cyber", 2)}

MMLU = {
    "law_test": 'question,choice0,choice1,choice2,choice3,answer\n"Is it, so?",a,b,c,d,2\nWhat?,a,b,c,d,0\n',
    "old_history_test": "Who?,w,x,y,z,B\n",
    "law_dev": "question,choice0,choice1,choice2,choice3,answer\nDev?,a,b,c,d,0\n",
}


def folder(path: Path, parts: dict[str, Rows], lines: bool = False) -> str:
    """A folder with the publisher's file names: a JSON list each, or lines under the name .json, as TOFU has it."""
    for name, rows in parts.items():
        file = path / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
        file.write_text(text, "utf-8")
    return str(path)


def listed(path: Path, rows: Any) -> str:
    """One file with a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), "utf-8")
    return str(path)


def mmlu(path: Path) -> str:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in MMLU.items():
        (path / f"{name}.csv").write_text(text, "utf-8")
    return str(path)


# name -> config overrides that read a set from a folder that `make` fills
def everything(path: Path) -> dict[str, list[str]]:
    """Every data set on small files under `path`: the overrides that a run on it takes."""
    table = path / "own.csv"
    table.write_text("prompt,answer\nWho?,Ann\nWhere?,Rome\n", "utf-8")
    lines = path / "own.jsonl"
    lines.write_text('{"prompt": "{} is", "answer": "x", "subject": "Ann"}\n' * 2, "utf-8")
    subject, prompt = "collector.name=subject-last", "collector.name=prompt-last"
    return {
        "counterfact": [f"data.path={listed(path / 'c.json', COUNTERFACT)}", "data.forget=2", subject],
        "multicounterfact": [
            f"data.path={listed(path / 'multi_counterfact.json', EDITS)}",
            "data.forget=2",
            subject,
        ],
        "zsre": [f"data.path={listed(path / 'z.json', ZSRE)}", "data.forget=2", subject],
        "mquake": [f"data.path={listed(path / 'm.json', MQUAKE)}", "data.forget=1", subject],
        "tofu": [f"data.path={folder(path / 'tofu', TOFU, lines=True)}", prompt],
        "muse": [f"data.path={folder(path / 'muse', MUSE)}", prompt],
        "rwku": [f"data.path={folder(path / 'rwku', RWKU)}", prompt],
        "wmdp": [f"data.path={folder(path / 'wmdp', WMDP)}", f"data.mmlu={mmlu(path / 'mmlu')}", prompt],
        "mmlu": [f"data.path={mmlu(path / 'mmlu2')}", "data.subjects=[law]", prompt],
        "facts": [f"data.path={lines}", "data.forget=1", subject],
        "jsonl": [f"data.path={lines}", "data.forget=1", subject],
        "csv": [f"data.path={table}", "data.forget=1", prompt],
        "world": [subject],
        "demo": [subject],
    }
