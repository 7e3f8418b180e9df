"""Prints which modules a plain run enters, in order, and from how many places each is entered.

    python docs/walk.py                      # zu run demo
    python docs/walk.py run CONFIG KEY=VALUE ...

A module is entered where a function or method of it is called from another module of the framework or its plugins.
Properties and dunder methods read as attributes: they are no entry, nor is what runs at import. A place is a line of
code: a call in a loop is one place, however often it happens.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

PACKAGES = ("zu_framework", "zu_plugins")
MORE = "zu_"  # plugins of their own


@dataclass
class Room:
    """One module: who entered it first, from which places it is entered, and how often."""

    entered_by: str
    places: set[tuple[str, int]] = field(default_factory=set)
    times: int = 0


class Walk:
    """Follows calls between modules while it is active; `rooms` are in the order of their first entry."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self._names: dict[CodeType, str] = {}
        self._entries: dict[CodeType, bool] = {}

    def __enter__(self) -> Walk:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *given: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        name = self._module(frame.f_code)
        if not name or not self._is_entry(name, frame.f_code):
            return
        caller, line = self._caller(frame.f_back)
        if caller == name:
            return
        room = self.rooms.setdefault(name, Room(caller))
        room.places.add((caller, line))
        room.times += 1

    def _module(self, code: CodeType) -> str:
        """The module that code belongs to; "" for any that is not ours."""
        if code not in self._names:
            self._names[code] = module_of(code.co_filename)
        return self._names[code]

    def _is_entry(self, module: str, code: CodeType) -> bool:
        """Whether calling this code enters its module."""
        if code not in self._entries:
            self._entries[code] = not reads_as_attribute(sys.modules.get(module), code)
        return self._entries[code]

    def _caller(self, frame: FrameType | None) -> tuple[str, int]:
        """The nearest caller of ours, over what libraries call in between."""
        while frame is not None:
            name = self._module(frame.f_code)
            if name:
                return name, frame.f_lineno
            frame = frame.f_back
        return "the shell", 0


def module_of(file: str) -> str:
    """The module's name from its file; "" for any that is not of the framework or a plugin of it."""
    if not file.endswith(".py"):  # a template is no room
        return ""
    parts = Path(file).with_suffix("").parts
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] in PACKAGES or (parts[at].startswith(MORE) and at and parts[at - 1] == "plugins"):
            found = parts[at:]
            return ".".join(found[:-1] if found[-1] == "__init__" else found)
    return ""


def reads_as_attribute(module: ModuleType | None, code: CodeType) -> bool:
    """Whether code is that of a property, a dunder method, or of a module's own import."""
    if (code.co_name.startswith("_") and code.co_name.endswith("_")) or code.co_name == "<module>":
        return True
    found: Any = module
    for part in code.co_qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return isinstance(found, property | cached_property)


def walked(arguments: Sequence[str]) -> Walk:
    """The walk of one command."""
    from zu_framework.cli import main

    walk = Walk()
    with walk:
        try:
            main(list(arguments))
        except SystemExit as stopped:
            if stopped.code:
                raise
    return walk


def table(walk: Walk) -> list[str]:
    """The rooms as lines of a Markdown table."""
    lines = ["| module | first entered by | places | times |", "| --- | --- | ---: | ---: |"]
    for name, room in walk.rooms.items():
        lines.append(f"| `{name}` | `{room.entered_by}` | {len(room.places)} | {room.times} |")
    return lines


def summary(walk: Walk) -> str:
    """How many modules there are, and from how many places those of the engine are entered."""
    engine = {name: len(room.places) for name, room in walk.rooms.items() if ".engine." in name}
    most = max(engine, key=lambda name: engine[name])
    return (
        f"{len(walk.rooms)} modules; {len(engine)} of the engine, entered from {sum(engine.values())} places "
        f"({most} from {engine[most]})"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        given = sys.argv[1:] or ["run", "demo"]
        walk = walked([*given, f"output.folder={folder}"])
    print("\n".join(table(walk)))
    print(summary(walk))
