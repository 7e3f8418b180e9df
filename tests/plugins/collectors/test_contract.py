"""Each shipped collector under the contract that plugin authors use."""

from __future__ import annotations

from typing import Any, ClassVar

from zu_framework import Request
from zu_framework.testing import CollectorContract

FIXED = {"contexts": "fixed", "templates": ["It is so. {}", "People say: {} And yet."]}


class TestSubjectLast(CollectorContract):
    collector = "subject-last"


class TestSubjectLastByContext(CollectorContract):
    collector = "subject-last"
    options: ClassVar[dict[str, Any]] = {**FIXED, "average": False}


class TestSubjectLastInOtherLetters(CollectorContract):
    collector = "subject-last"
    options: ClassVar[dict[str, Any]] = {**FIXED, "average": False, "cases": ["lower", "upper"]}


class TestSubjectLastWithSubstitutes(CollectorContract):
    collector = "subject-last"
    options: ClassVar[dict[str, Any]] = {"contexts": "none", "substitutes": 2}


class TestPromptLast(CollectorContract):
    collector = "prompt-last"
    requests = (Request("What does Anna Norton speak?", "Italian"), Request("Who are you?", "Nobody"))


class TestPromptLastInContexts(TestPromptLast):
    options: ClassVar[dict[str, Any]] = FIXED
