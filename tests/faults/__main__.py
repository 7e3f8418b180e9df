"""`python -m tests.faults [NAME=COUNT ...] [--write]`: what was tried, what held; every seed is fixed.

Names: kills, malformed, undo, thief, races, plugins. --write puts the table into docs/results/faults.md, whose sections
below it stay.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}

import torch
import transformers

import zu_framework
from tests.faults.kills import kills
from tests.faults.malformed import malformed
from tests.faults.plugins import plugins
from tests.faults.races import races
from tests.faults.thief import thief
from tests.faults.undo import undo
from tests.faults.world import Trial, World, make
from zu_framework.testing.models import FAMILIES

Section = Callable[[World, int], Iterator[Trial]]
SECTIONS: dict[str, tuple[Section, int]] = {
    "kills": (kills, 200),
    "malformed": (malformed, 400),
    "undo": (undo, 100),
    "thief": (thief, 20),
    "races": (races, 20),
    "plugins": (plugins, 90),
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "results" / "faults.md"


def main(words: list[str]) -> int:
    """Try everything; the exit code is 1 where something did not hold."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    rows: list[tuple[str, str, int, int]] = []
    broken: list[Trial] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZU_CACHE"] = str(Path(folder) / "cache")
        (Path(folder) / "world").mkdir()
        world = make(Path(folder) / "world")
        for name, (section, count) in SECTIONS.items():
            wanted = int(given.get(name, 0 if given else count))
            tried: Counter[str] = Counter()
            held: Counter[str] = Counter()
            for kind, what, why in section(world, wanted) if wanted else ():
                tried[kind] += 1
                held[kind] += not why
                if why:
                    broken.append((kind, what, why))
                    print(f"did not hold: {kind}, {what}: {why}", flush=True)
            rows += [(name, kind, tried[kind], held[kind]) for kind in tried]
            if tried:
                print(f"{name}: {tried.total()} tried, {held.total()} held", flush=True)
    minutes = (time.monotonic() - begun) / 60
    if "--write" in words:
        known = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        by_hand = re.search(r"^## .*", known, re.MULTILINE | re.DOTALL)
        PAGE.write_text(page(rows, minutes) + (f"\n{by_hand[0]}" if by_hand else ""), encoding="utf-8")
    print(f"{sum(row[2] for row in rows)} tried, {sum(row[3] for row in rows)} held, {minutes:.1f} minutes")
    return 1 if broken else 0


def page(rows: list[tuple[str, str, int, int]], minutes: float) -> str:
    """The table as a page."""
    totals = [(name, *_sums([row for row in rows if row[0] == name])) for name in SECTIONS]
    families = len(FAMILIES) - 1
    made = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    lines = [
        "# Faults",
        "",
        "Kills at a random moment, malformed inputs, edits put on and taken off, a thief, races, plugins that",
        "misbehave: what was tried, and what held. Seeds are fixed; where a kill strikes follows the machine's speed.",
        "",
        "```bash",
        "python -m tests.faults",
        "```",
        "",
        f"zu_framework {zu_framework.__version__}, {made}; a tiny Llama, and {families} other families for undo; "
        f"{os.cpu_count()} CPU cores, Linux; {time.strftime('%Y-%m-%d')}, {minutes:.0f} minutes.",
        "",
        "| what | tried | held |",
        "| --- | --- | --- |",
        *(f"| {name} | {tried} | {held} |" for name, tried, held in totals if tried),
        "",
        "Held means: what was there is as it was, byte for byte; what is new is whole; nothing is left lying once the",
        "next writer came by; a refusal is one sentence and exit code 2, without a traceback; no fact comes back.",
        "",
        "| kind | tried | held |",
        "| --- | --- | --- |",
        *(f"| {kind} | {tried} | {held} |" for _, kind, tried, held in rows),
        "",
    ]
    return "\n".join(lines)


def _sums(rows: list[tuple[str, str, int, int]]) -> tuple[int, int]:
    return sum(row[2] for row in rows), sum(row[3] for row in rows)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
