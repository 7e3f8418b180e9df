"""Reading JSON of ours: each field of the type that it must have, or an error that names file and field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zu_framework.errors import RunFolderError

_MISSING = object()


class Fields:
    """The fields of a JSON object of a file.

    Args:
        path: The file, for messages.
        values: What was read.
        where: The object's place in the file, "" for the whole.
        way_out: What an error says besides.
    """

    def __init__(self, path: Path, values: Any, where: str = "", way_out: str = "") -> None:
        self.path, self.where, self.way_out = path, where, way_out
        if not isinstance(values, Mapping):
            raise self.wrong("", f"holds {_named(values)}, not an object")
        self.values: Mapping[str, Any] = values

    @classmethod
    def parse(cls, path: Path, text: str, way_out: str = "") -> Fields:
        """Read a JSON text; raises `RunFolderError` where it is none, or no object."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as cause:
            raise RunFolderError(
                f"{path} is damaged: its description is not JSON ({cause}){way_out}"
            ) from cause
        return cls(path, values, way_out=way_out)

    @classmethod
    def read(cls, path: Path, way_out: str = "") -> Fields:
        """Read a JSON file; raises `RunFolderError` where it is missing, damaged, or no object."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as cause:
            raise RunFolderError(f"{path} does not exist{way_out}") from cause
        except (OSError, UnicodeDecodeError) as cause:
            raise RunFolderError(f"{path} cannot be read: {cause}{way_out}") from cause
        return cls.parse(path, text, way_out)

    def wrong(self, name: str, what: str) -> RunFolderError:
        """An error about a field ("" for the object itself)."""
        full = self._full(name)
        field = f"field {full!r} " if full else "it "
        return RunFolderError(f"{self.path} is damaged: {field}{what}{self.way_out}")

    def text(self, name: str, default: Any = _MISSING) -> str:
        """A text."""
        return str(self._typed(name, str, "a text", default))

    def whole(self, name: str, default: Any = _MISSING) -> int:
        """A whole number."""
        return int(self._typed(name, int, "a whole number", default))

    def truth(self, name: str, default: Any = _MISSING) -> bool:
        """True or false."""
        found = self._get(name, default)
        if not isinstance(found, bool):
            raise self.wrong(name, f"is {_named(found)}, not true or false")
        return found

    def number(self, name: str, default: Any = _MISSING) -> float:
        """A finite number."""
        found = self._typed(name, int | float, "a number", default)
        if not math.isfinite(found):
            raise self.wrong(name, f"is {found}, not a finite number")
        return float(found)

    def listed(self, name: str, default: Any = _MISSING) -> list[Any]:
        """A list."""
        return list(self._typed(name, list, "a list", default))

    def mapping(self, name: str, default: Any = _MISSING) -> dict[str, Any]:
        """An object."""
        return dict(self._typed(name, dict, "an object", default))

    def inner(self, name: str) -> Fields:
        """The fields of an object."""
        return Fields(self.path, self.mapping(name), self._full(name), self.way_out)

    def texts(self, name: str, default: Any = _MISSING) -> dict[str, str]:
        """An object that holds texts alone."""
        found = self.mapping(name, default)
        for key, value in found.items():
            if not isinstance(value, str):
                raise self.wrong(f"{name}.{key}", f"is {_named(value)}, not a text")
        return found

    def objects(self, name: str) -> list[Fields]:
        """A list of objects."""
        return [
            Fields(self.path, value, f"{self._full(name)}.{number}", self.way_out)
            for number, value in enumerate(self.listed(name))
        ]

    def _full(self, name: str) -> str:
        return ".".join(part for part in (self.where, name) if part)

    def _typed(self, name: str, kind: Any, said: str, default: Any) -> Any:
        found = self._get(name, default)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise self.wrong(name, f"is {_named(found)}, not {said}")
        return found

    def _get(self, name: str, default: Any) -> Any:
        found = self.values.get(name, default)
        if found is _MISSING:
            raise self.wrong(name, "is missing")
        return found


def _named(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    numbers = {int: "a number", float: "a number"}
    return {**names, **numbers}.get(type(value), type(value).__name__)
