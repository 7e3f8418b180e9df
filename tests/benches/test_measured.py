"""What a bench reads back is whole, or is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from zu_framework.benches.measured import read_attacks, read_failure


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"error": "x", "exit_code": 99}'])
def test_a_damaged_note_of_a_failure_is_no_traceback(tmp_path: Path, text: str) -> None:
    (tmp_path / "failed.json").write_text(text)
    assert read_failure(tmp_path / "failed.json") is None
    (tmp_path / "failed.json").write_text('{"error": "x", "exit_code": 2}')
    assert read_failure(tmp_path / "failed.json") == ("x", 2)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"findings": 3}', '{"findings": [7]}'])
def test_a_damaged_audit_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "metrics.json").write_text(text)
    assert read_attacks(tmp_path) == (set(), {})
