"""A broken record of a published schema is refused with file, record and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plugins.datasets import pieces
from zu_framework import DataError
from zu_framework.engine.check import check


def changed(rows: pieces.Rows, **fields: Any) -> pieces.Rows:
    """The rows with the second one changed; `...` takes a field away."""
    row = {**rows[1], **fields}
    return [rows[0], {name: value for name, value in row.items() if value is not ...}, *rows[2:]]


def first_rewrite(**fields: Any) -> pieces.Rows:
    row = pieces.MQUAKE[1]
    return changed(pieces.MQUAKE, requested_rewrite=[{**row["requested_rewrite"][0], **fields}])


BROKEN: dict[str, tuple[str, Any, str, str]] = {
    "edit-subject": (
        "counterfact",
        changed(pieces.EDITS, subject="Ann"),
        "subject",
        "'Ann' does not occur in",
    ),
    "edit-answer": (
        "counterfact",
        changed(pieces.EDITS, ground_truth=["x"]),
        "ground_truth",
        "expected a text, got",
    ),
    "edit-probe": ("counterfact", changed(pieces.EDITS, locality_prompt=...), "locality_prompt", "missing"),
    "zsre-subject": ("zsre", changed(pieces.ZSRE, subject="Ann"), "subject", "'Ann' does not occur in"),
    "zsre-answers": (
        "zsre",
        changed(pieces.ZSRE, answers=[]),
        "answers",
        "is empty: the first one is the answer",
    ),
    "zsre-answer": ("zsre", changed(pieces.ZSRE, answers="Bob"), "answers", "expected a list, got a text"),
    "zsre-locality": ("zsre", changed(pieces.ZSRE, loc_ans=None), "loc_ans", "expected a text, got null"),
    "mquake-one-edit": (
        "mquake",
        changed(pieces.MQUAKE, requested_rewrite={}),
        "requested_rewrite",
        "expected a list",
    ),
    "mquake-edit": (
        "mquake",
        changed(pieces.MQUAKE, requested_rewrite=[1]),
        "requested_rewrite[0]",
        "expected an",
    ),
    "mquake-place": ("mquake", first_rewrite(prompt="Hey was"), "requested_rewrite[0].prompt", "holds no {}"),
    "mquake-hops": ("mquake", changed(pieces.MQUAKE, single_hops=...), "single_hops", "missing"),
    "mquake-questions": ("mquake", changed(pieces.MQUAKE, questions=[" "]), "questions[0]", "is empty"),
    "tofu-question": ("tofu/forget01", changed(pieces.qa("a", 3), question=...), "question", "missing"),
    "tofu-wrong": (
        "tofu/retain_perturbed",
        changed(perturbed := pieces.perturbed(pieces.qa("a", 2)), perturbed_answer="x"),
        "perturbed_answer",
        "expected a list, got a text",
    ),
    "tofu-real": (
        "tofu/real_authors_perturbed",
        [{}, {"question": "a", "answer": 3}][::-1],
        "answer",
        "got a number",
    ),
    "muse-text": (
        "muse/privleak/holdout",
        [{"text": "a"}, {"txt": "b"}],
        "text",
        "missing; the record has: txt",
    ),
    "muse-verbatim": ("muse/verbmem/forget", [{"prompt": "a", "gt": "b"}, {"prompt": "a"}], "gt", "missing"),
    "rwku-query": (
        "rwku/forget_level3",
        changed(pieces.RWKU["forget_level3"], query=""),
        "query",
        "is empty",
    ),
    "rwku-subject": (
        "rwku/neighbor_level1",
        changed(pieces.RWKU["neighbor_level1"], subject=...),
        "subject",
        "miss",
    ),
    "wmdp-choices": (
        "wmdp/bio_questions",
        changed(pieces.WMDP["bio_questions"], choices=["a"]),
        "choices",
        "expected",
    ),
    "wmdp-answer": (
        "wmdp/bio_questions",
        changed(pieces.WMDP["bio_questions"], answer=4),
        "answer",
        "is choice 4",
    ),
    "wmdp-letter": (
        "wmdp/bio_questions",
        changed(pieces.WMDP["bio_questions"], answer="B"),
        "answer",
        "expected a",
    ),
    "wmdp-minus": (
        "wmdp/bio_questions",
        changed(pieces.WMDP["bio_questions"], answer=-1),
        "answer",
        "is choice -1",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_named_with_file_record_and_field(tmp_path: Path, name: str) -> None:
    """The second record is the broken one (of `tofu-real` the first), and would not be drawn."""
    place, rows, field, message = BROKEN[name]
    data, _, part = place.partition("/")
    every: dict[str, dict[str, pieces.Rows]] = {
        "tofu": pieces.TOFU,
        "muse": pieces.MUSE,
        "rwku": pieces.RWKU,
        "wmdp": pieces.WMDP,
    }
    if part:
        path = pieces.folder(tmp_path / data, {**every[data], part: rows}, lines=data == "tofu")
        file, overrides = f"{path}/{part}.json", [f"data.path={path}"]
    else:
        path = file = pieces.listed(tmp_path / "facts.json", rows)
        overrides = [f"data.path={path}", "data.protocol=all", "data.forget=1"]
    with pytest.raises(DataError) as caught:
        check("demo", [f"data.name={data}", *overrides, "collector.name=prompt-last"])
    said = str(caught.value)
    number = 1 if name == "tofu-real" else 2
    assert said.startswith((f"{file}, record {number}", f"{file}, line {number}")), said
    assert f"field '{field}': " in said and message in said
