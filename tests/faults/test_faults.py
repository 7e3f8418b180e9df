"""A few trials of each section, so that the script itself keeps working."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import SECTIONS, page
from tests.faults.malformed import KINDS
from tests.faults.world import make

COUNTS = {"kills": 6, "malformed": 40, "undo": 4, "thief": 2, "races": 4, "plugins": 4}


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform != "linux", reason="processes are forked and killed"
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_tried_holds(name: str, tmp_path: Path, private_cache: Path) -> None:
    section, _ = SECTIONS[name]
    trials = list(section(make(tmp_path), COUNTS[name]))
    assert len(trials) == COUNTS[name]
    assert not [trial for trial in trials if trial[2]]


def test_malformed_inputs_are_of_many_kinds() -> None:
    assert len(KINDS) >= 12


def test_the_page_adds_up() -> None:
    text = page([("undo", "undo", 3, 2), ("kills", "kill a run", 4, 4)], 1.0)
    assert "| undo | 3 | 2 |" in text and "| kills | 4 | 4 |" in text
