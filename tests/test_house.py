"""The house keeps its measure: no file above 300 lines, and nothing of more than ten lines stands twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOPS = ("docs", "plugins", "tests", "zu_framework")
LONGEST = 300  # lines of a file
SHARED = 10  # lines that two places may have in common


def _files(root: Path = ROOT, tops: Sequence[str] = TOPS) -> list[Path]:
    found = [*root.glob("*.py"), *(path for top in tops for path in (root / top).rglob("*.py"))]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _too_long(files: Sequence[Path]) -> list[str]:
    counts = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    return [f"{path}: {count} lines" for path, count in counts.items() if count > LONGEST]


def _significant(text: str) -> list[tuple[int, str]]:
    """Lines of code with their numbers: no imports, docstrings, comments, blank lines, nor brackets alone."""
    passed: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if alone or isinstance(node, ast.Import | ast.ImportFrom):
            passed.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [
        (number, line)
        for number, line in lines
        if number not in passed and not line.startswith("#") and any(map(str.isalnum, line))
    ]


def _copies(files: Sequence[Path]) -> Iterator[str]:
    """Each run of more than `SHARED` equal lines that stands in two places, by where the places begin."""
    length = SHARED + 1
    seen: dict[tuple[str, ...], tuple[Path, int]] = {}
    for path in files:
        lines = _significant(path.read_text("utf-8"))
        last: tuple[Path, int] | None = None  # where the window before this one stands a first time
        for start in range(len(lines) - length + 1):
            window = tuple(line for _, line in lines[start : start + length])
            first = seen.setdefault(window, (path, start))
            if first[0] == path and start - first[1] < length:
                last = None
                continue
            if last is None or first != (last[0], last[1] + 1):
                beginning = _significant(first[0].read_text("utf-8"))[first[1]][0]
                yield f"{first[0]}:{beginning} ~ {path}:{lines[start][0]}"
            last = first


def test_no_file_is_above_300_lines() -> None:
    assert len(_files()) > 300, "the files are not where this test looks"
    assert _too_long(_files()) == []


def test_no_two_places_share_more_than_ten_lines() -> None:
    assert list(_copies(_files())) == []


def _written(folder: Path, name: str, lines: Sequence[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_long_file_is_found(tmp_path: Path) -> None:
    long = _written(tmp_path, "long.py", ["pass"] * 301)
    _written(tmp_path, "short.py", ["pass"] * 300)
    assert _too_long(_files(tmp_path, ())) == [f"{long}: 301 lines"]


def test_a_copy_is_found_whatever_stands_between_its_lines(tmp_path: Path) -> None:
    lines = [f"value_{number} = made({number})" for number in range(11)]
    one = _written(tmp_path, "one.py", ["import os", "", "first = 1", *lines])
    other = _written(tmp_path, "other.py", ["if True:", *(f"    {line}\n    # a word\n" for line in lines)])
    assert list(_copies([one, other])) == [f"{one}:4 ~ {other}:2"]
    assert list(_copies([one])) == []


def test_a_copy_within_one_file_is_found_once(tmp_path: Path) -> None:
    lines = [f"value_{number} = made({number})" for number in range(15)]
    path = _written(tmp_path, "one.py", [*lines, "between = 1", *lines])
    assert list(_copies([path])) == [f"{path}:1 ~ {path}:17"]


def test_ten_lines_in_common_are_no_copy(tmp_path: Path) -> None:
    lines = [f"value_{number} = made({number})" for number in range(10)]
    imports = [f"import module_{number}" for number in range(12)]
    files = [_written(tmp_path, f"{name}.py", [*imports, *lines, f"{name} = 1"]) for name in ("one", "other")]
    assert list(_copies(files)) == []
