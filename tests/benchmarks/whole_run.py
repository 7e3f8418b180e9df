"""Time `zu.run` on a small model that knows real facts: ours, the published loop, and plainer loops of ours.

    python -m tests.benchmarks.targets --size run

Everything is cached but the requests; each way has a cache folder of its own, so that none finds another's states.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import zu_framework as zu
from tests.benchmarks import published_loop
from tests.benchmarks.commands import table
from tests.benchmarks.measuring import cost
from zu_framework.registry.manager import load_plugins

WAYS = {
    "ours": [],
    "published loop: one request at a time, whole vocabulary at every token": [
        "target.name=published",
        'target.text=" unknown"',
        "target.lr=0.5",
    ],
    "full forward, one request at a time, head at the text's places alone": [
        "target.replay=none",
        "target.rows_per_pass=1",
    ],
    "full forward, requests together": ["target.replay=none"],
}


def whole_run(facts: int) -> None:
    """Print the table; without the reference model say where to point."""
    shared = Path(os.environ.get("ZU_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    if not (shared / "models" / "cf-mini").is_dir():
        print(f"\nwhole run: skipped, no reference model at {shared}: point ZU_SHARED at it")
        return
    found = [*importlib.metadata.entry_points(group="zu_framework")]
    ours = EntryPoint("targets", published_loop.__name__, "zu_framework")
    plugins = load_plugins([*found, ours])
    taken = []
    with tempfile.TemporaryDirectory() as scratch:
        config = _config(shared, f"{scratch}/runs", facts)
        os.environ["ZU_CACHE"] = f"{scratch}/cache"
        zu.run(config, ["output.name=warm", "target.steps=1"])
        for number, (way, changes) in enumerate(WAYS.items()):
            os.environ["ZU_CACHE"] = f"{scratch}/cache{number}"
            shutil.copytree(f"{scratch}/cache", os.environ["ZU_CACHE"])
            with cost() as took:
                result = zu.run(config, [f"output.name=run{number}", *changes], plugins=plugins)
            taken.append((way, took, result.seconds))
    print(f"\nA whole run: {facts} facts, cf-mini, three sites, moments cached\n")
    phases = sorted({phase for _, _, seconds in taken for phase in seconds})
    first = taken[0][1]
    rows = [
        (
            way,
            f"{took.seconds:.1f}",
            f"{took.seconds / first.seconds:.1f}",
            f"{took.processor:.1f}",
            f"{took.processor / first.processor:.1f}",
            *(f"{seconds.get(phase, 0):.2f}" for phase in phases),
        )
        for way, took, seconds in taken
    ]
    print(table(("way", "seconds", "ratio", "processor seconds", "ratio", *phases), rows))


def _config(shared: Path, runs: str, facts: int) -> dict[str, Any]:
    return {
        "model": {"path": str(shared / "models" / "cf-mini"), "dtype": "float32", "device": "cpu"},
        "data": {
            "name": "counterfact",
            "path": str(shared / "data" / "counterfact_known.json"),
            "forget": facts,
        },
        "locator": {"name": "fixed", "layers": [1, 2, 3]},
        "collector": {"name": "subject-last"},
        "background": {
            "name": "text",
            "path": str(shared / "data" / "wikitext2_valid.txt"),
            "documents": 500,
        },
        "target": {"name": "neutral", "text": " unknown", "lr": 0.5},
        "solver": {"name": "zerounlearn", "background_weight": 100},
        "output": {"folder": runs},
    }
