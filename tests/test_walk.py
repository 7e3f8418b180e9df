"""The walk through a plain run, as `docs/walk.py` prints it and `docs/concepts.md` tells it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WALK = ROOT / "docs" / "walk.py"

# the way of one edit: twelve rooms, and the corridors that lead through them
WAY = [
    "zu_framework.cli.app",
    "zu_framework.engine.run",
    "zu_framework.engine.opening",
    "zu_plugins.locators.locators",
    "zu_framework.engine.locating",
    "zu_framework.engine.measuring",
    "zu_framework.engine.loop",
    "zu_plugins.collectors.collectors",
    "zu_plugins.targets.neutral",
    "zu_framework.engine.solving",
    "zu_plugins.closed_form.local",
    "zu_framework.engine.guard",
    "zu_framework.engine.writing",
    "zu_framework.engine.saving",
    "zu_framework.reporting.observer",
]
CORRIDORS = {"zu_framework.engine.run", "zu_framework.engine.measuring", "zu_framework.engine.loop"}
ROOMS = 12  # of the engine, that a run enters

PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from walk import walked
walk = walked(["run", sys.argv[2]])
print("ROOMS " + json.dumps({name: [sorted({file for file, _ in room.places}), len(room.places)]
                             for name, room in walk.rooms.items()}))
"""


@pytest.fixture
def rooms(settings: dict[str, Any], tmp_path: Path) -> dict[str, tuple[list[str], int]]:
    """Each room of a plain run in the order of first entry: from which modules, and from how many places."""
    config = tmp_path / "plain.yaml"
    config.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(WALK.parent), str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ROOMS ")]
    found: dict[str, tuple[list[str], int]] = json.loads(line.removeprefix("ROOMS "))
    return found


def test_a_run_goes_through_twelve_rooms_each_entered_from_one_place(
    rooms: dict[str, tuple[list[str], int]],
) -> None:
    # the observer is shown the untouched model before anything is solved, and draws at the end
    order = [room for room in rooms if room in WAY[:-1]]
    assert order == WAY[:-1] and WAY[-1] in rooms
    engine = {name: places for name, (_, places) in rooms.items() if name.startswith("zu_framework.engine.")}
    assert len(engine) == ROOMS, sorted(engine)
    assert {room: places for room, places in engine.items() if places != 1} == {}
    # nothing of the core enters the pages: the observer does
    assert set(rooms["zu_framework.reporting.observer"][0]) <= {
        "zu_framework.registry.observers",
        "zu_plugins.reports.plugin",
    }


def test_the_page_of_the_walk_names_the_rooms() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    way = page.partition("## The way of one edit")[2].partition("\n## ")[0]
    told = re.findall(r"^\d+\. `([\w./]+)`", way, re.M)
    wanted = [name.replace(".", "/") + ".py" for name in WAY if name not in CORRIDORS]
    assert told == [name.removeprefix("zu_framework/") for name in wanted] and len(told) == 12
    for name in told:
        assert any((root / name).is_file() for root in (ROOT / "zu_framework", ROOT / "plugins")), name


def test_modules_are_told_from_libraries() -> None:
    spec = importlib.util.spec_from_file_location("walk", WALK)
    assert spec is not None and spec.loader is not None
    walk = importlib.util.module_from_spec(spec)
    sys.modules["walk"] = walk  # dataclasses look their module up
    spec.loader.exec_module(walk)
    assert walk.module_of("/x/zu_framework/engine/run.py") == "zu_framework.engine.run"
    assert walk.module_of("/x/zu_framework/config/__init__.py") == "zu_framework.config"
    assert walk.module_of("/x/plugins/zu_plugins/targets/neutral.py") == "zu_plugins.targets.neutral"
    assert walk.module_of("/x/site-packages/torch/nn/functional.py") == ""
