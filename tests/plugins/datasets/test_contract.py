"""Data sets that bring their own records, or read a user's, under the contract that plugin authors use.

Published ones read pieces in their publishers' schemas, in tests of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zu_framework.testing import DatasetContract

FACTS = [
    {"prompt": f"The capital of {name} is", "subject": name, "answer": city}
    for name, city in (("Quinania", "Warsaw"), ("Verania", "Vienna"), ("Delland", "Geneva"))
]


class TestDemo(DatasetContract):
    dataset = "demo"


class TestWorld(DatasetContract):
    dataset = "world"


class TestJsonl(DatasetContract):
    dataset = "jsonl"

    def options(self, folder: Path) -> Mapping[str, Any]:
        (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, FACTS)), encoding="utf-8")
        return {"path": str(folder / "facts.jsonl")}


class TestFacts(TestJsonl):
    dataset = "facts"


class TestCsv(DatasetContract):
    dataset = "csv"

    def options(self, folder: Path) -> Mapping[str, Any]:
        rows = ["prompt,subject,answer", *(",".join(fact.values()) for fact in FACTS)]
        (folder / "facts.csv").write_text("\n".join(rows), encoding="utf-8")
        return {"path": str(folder / "facts.csv")}
