"""What every trial starts from: a tiny model, a few facts, a run and a checkpoint that carries its edit."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import zu_framework as zu
from tests.small_runs import FACTS, UNLIMITED
from tests.store.edits import contents
from zu_framework.cli import main
from zu_framework.testing import tiny_model

# (kind of the trial, what was tried, why it did not hold: "" where it did)
Trial = tuple[str, str, str]


@dataclass(frozen=True)
class World:
    """Sound files. Trials work on copies.

    Args:
        folder: Holds everything.
        model: A checkpoint of a tiny Llama.
        settings: A whole configuration.
        run: A run folder, made of the settings.
        edited: The checkpoint with the run's edit on it.
    """

    folder: Path
    model: Path
    settings: dict[str, Any]
    run: Path
    edited: Path

    def copy(self, source: Path, name: str) -> Path:
        """A fresh copy of a folder."""
        target = self.folder / "copies" / name
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(source, target))

    def empty(self, name: str) -> Path:
        """A fresh empty folder."""
        target = self.folder / "copies" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        return target

    def config(self, folder: Path, **changes: Any) -> Path:
        """The settings with whole groups changed, as a YAML file."""
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump({**self.settings, **changes}), encoding="utf-8")
        return path


def make(folder: Path) -> World:
    """Make a world in an empty folder."""
    model = folder / "model"
    tiny_model("llama").save(model)
    facts = [
        {"prompt": p, "subject": s, "answer": a, "paraphrases": [f"People say: {p}"]} for p, s, a in FACTS
    ]
    (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, facts)), encoding="utf-8")
    (folder / "text.txt").write_text("\n".join(f"line {n} of a text about the old bridge" for n in range(30)))
    settings: dict[str, Any] = {
        "model": {"path": str(model), "device": "cpu"},
        "data": {"name": "facts", "path": str(folder / "facts.jsonl"), "forget": 2},
        "locator": {"name": "fixed", "layers": [0, 1]},  # behind the last one nothing hears of a subject
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(folder / "text.txt")},
        "target": {"name": "neutral", "steps": 3},
        "solver": {"name": "memit", "background_weight": 100},
        "evaluate": {"metrics": ["efficacy"]},
        "guard": {"text": None, "facts": None, "limits": UNLIMITED},
        "output": {"folder": str(folder / "runs"), "name": "good"},
    }
    run = zu.run(settings).folder
    zu.apply(run, model, folder / "edited")
    # a name that no run has: a check refuses one that is taken, whatever else is wrong
    settings = {**settings, "output": {**settings["output"], "name": "another"}}
    return World(folder, model, settings, run, folder / "edited")


def command(*words: object) -> tuple[int, str]:
    """Run a `zu` command in this process; its exit code, and all that it printed."""
    out = io.StringIO()
    code: Any = 0
    with redirect_stdout(out), redirect_stderr(out):
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code or 0
    return int(code), out.getvalue()


def refused(code: int, printed: str) -> str:
    """Whether a command refused as it must: one sentence, exit code 2, no traceback."""
    if "Traceback" in printed:
        return f"traceback: {printed.strip().splitlines()[-1][:120]}"
    return "" if code == 2 else f"exit code {code}: {printed.strip()[-120:]}"


def unchanged(folder: Path, before: dict[str, bytes]) -> str:
    """Whether a folder is as it was, byte for byte."""
    return "" if contents(folder) == before else f"{folder.name} was changed"


def bytes_changed(raw: bytes, draw: random.Random) -> bytes:
    """Some bytes of a file changed, cut, doubled or gone."""
    way, at = draw.randrange(4), draw.randrange(max(1, len(raw)))
    if way == 0:
        flipped = bytearray(raw)
        flipped[at % max(1, len(flipped))] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    if way == 1:
        return raw[:at]
    if way == 2:
        return raw[:at] + bytes(draw.randrange(256) for _ in range(8)) + raw[at:]
    return raw[:at] + raw[at + 1 + draw.randrange(40) :]


Maker = Callable[[World, random.Random, int], Iterator[Trial]]


def rotated(makers: list[Maker], world: World, count: int) -> Iterator[Trial]:
    """Trials of several kinds in turn, `count` altogether."""
    draw = random.Random(0)
    made = [maker(world, draw, -(-count // len(makers))) for maker in makers]
    done = 0
    while made and done < count:
        for one in list(made):
            trial = next(one, None)
            if trial is None:
                made.remove(one)
                continue
            yield trial
            done += 1
            if done == count:
                return
