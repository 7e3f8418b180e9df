"""Words are plain: no private jokes in names, "returns" for what comes back; and no line is bent by its comment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("zu_framework", "plugins", "docs")
JOKES = frozenset({"Said", "Kept", "Watched", "Sight", "lies", "told_updates"})
# "answers" for "returns": a clause of its own, or of something that runs. A model or a prompt may answer.
ANSWERS = re.compile(
    r"; answers (?!of\b)"
    r"|\b(?:it|that|which|one|hook|plugin|function|section|implementation|command|factor|metric|change`)"
    r" answers (?!of\b|to\b|are\b|\d)"
)
BENT = re.compile(r"# fmt: (?:skip|off)|^\s*[\])}][^#]*  # (?!type:|noqa)|[\[({]  # (?!type:|noqa)")


def _files(*endings: str) -> list[Path]:
    found = [path for top in SOURCES for path in (ROOT / top).rglob("*") if path.suffix in endings]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _jokes(path: Path) -> Iterator[str]:
    """Names in code, or in code spans of a page, that a stranger cannot read."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        spans = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
        yield from sorted(JOKES & set(re.findall(r"\w+", " ".join(spans))))
        return
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        for attribute in ("id", "arg", "attr", "name", "asname"):
            if isinstance(name := getattr(node, attribute, None), str):
                names.add(name)
    yield from sorted(JOKES & names)


def _answers(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8")
    prose = [text]
    if path.suffix == ".py":
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
        prose = [ast.get_docstring(node) or "" for node in nodes]
    for part in prose:
        yield from (f"{match[0].strip()!r}: say 'returns'" for match in ANSWERS.finditer(part))


def bent(path: Path) -> list[str]:
    """Where a comment beside a bracket, or a switched-off formatter, bends a statement."""
    lines = path.read_text("utf-8").splitlines()
    return [f"{path.relative_to(ROOT)}:{number}" for number, line in enumerate(lines, 1) if BENT.search(line)]


def test_no_statement_is_bent_by_its_comment() -> None:
    tops = (*SOURCES, "tests")
    files = [path for top in tops for path in sorted((ROOT / top).rglob("*.py")) if path != Path(__file__)]
    found = [where for path in files for where in bent(path)]
    assert not found, "put the comment above, or shorten the line:\n" + "\n".join(found)


def test_words_are_plain() -> None:
    read = {path: [*_jokes(path), *_answers(path)] for path in _files(".py", ".md")}
    found = {path.relative_to(ROOT): faults for path, faults in read.items() if faults}
    assert not found, "\n" + "\n".join(f"{path}: {'; '.join(faults)}" for path, faults in found.items())
