"""Every example of docs/facts.md is read as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zu_framework.data.fields import FIELDS
from zu_plugins.datasets import own
from zu_plugins.datasets.options import FactsOptions

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "facts.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', PAGE, re.M | re.S))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(EXAMPLES[name], "utf-8")
    split = own.load(FactsOptions(path=str(tmp_path / name)), 0)
    records = EXAMPLES[name].count("\n") if name.endswith(".jsonl") else {"facts.csv": 2}.get(name, 1)
    assert len(split.forget) == records and split.notes == ()
    assert {"Paris"} <= {request.answer for request in split.forget}
    assert "{}" not in "".join(request.prompt + "".join(request.paraphrases) for request in split.forget)


def test_there_is_one_of_each_form() -> None:
    assert {Path(name).suffix for name in EXAMPLES} == {".jsonl", ".json", ".csv"} and len(EXAMPLES) >= 6


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_explained(field: str) -> None:
    assert re.search(rf"^\|.*`{field}`.*\|", PAGE, re.M)
