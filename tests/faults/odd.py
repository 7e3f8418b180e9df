"""Odd values, and how it is seen that a command met them as it must."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from tests.faults.world import Trial, World, command
from tests.store.edits import contents

WORDS = ("", "x", "\0", "\ud800", "~nosuchuser", "../x", "${oc.env:NONE}", "1e5", "\x1b[31m")
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e400,
    float("nan"),
    [],
    [[]],
    {},
    {"a": 1},
    [1, "x"],
    *WORDS,
)


def checked(world: World, kind: str, what: str, *words: object, run: bool = True) -> Trial:
    """`zu check`, and `zu run` where it finds nothing wrong: a sentence and exit code 2, or a whole run."""
    code, printed = command("check", *words)
    why = _told(code, printed)
    if why or code == 2 or not run:
        return kind, what, why
    folder = world.empty("tried")
    code, printed = command("run", *words, f"output.folder={folder}", "output.name=one")
    left = sorted(path.name for path in folder.iterdir())
    if code == 0 and not (folder / "one" / "edit.safetensors").is_file():
        why = "exit code 0, and no run"
    elif code != 0 and left:
        why = f"refused, and left: {', '.join(left)}"
    return kind, what, _told(code, printed) or why


def _told(code: int, printed: str) -> str:
    """Why the end of a command is not as it must be."""
    if "Traceback" in printed:
        return f"traceback: {printed.strip().splitlines()[-2][:160]}"
    return "" if code in (0, 2) else f"exit code {code}: {printed.strip()[-120:]}"


def written(kind: str, what: str, out: Path, wanted: dict[str, bytes], *words: object) -> Trial:
    """A command that writes a folder: the right one, or none and exit code 2."""
    shutil.rmtree(out, ignore_errors=True)
    code, printed = command(*words)
    if code == 0:
        held = out.is_dir() and contents(out) == wanted
        return kind, what, "" if held else "exit code 0, and what was written is wrong"
    if out.exists():
        return kind, what, "refused, and something was written"
    return kind, what, _told(code, printed)


def put_odd(tree: Any, draw: random.Random) -> tuple[str, Any]:
    """Put an odd value somewhere in a tree; where, and which."""
    value, path = draw.choice(ODD), ""
    while True:
        keys = sorted(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = draw.choice(keys)
        path = f"{path}.{key}"
        below = tree[key]
        if isinstance(below, dict | list) and below and draw.random() < 0.75:
            tree = below
            continue
        tree[key] = value
        return path, value
