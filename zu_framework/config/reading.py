"""One YAML file as a plain tree with the line of each key; what no config can mean is refused before it is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from zu_framework.errors import ConfigError

__all__ = ["read_value", "read_yaml", "reason_of"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 20_000  # aliases written out: nine lines of YAML can mean a billion values

_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map", "merge")


class _Loader(yaml.SafeLoader):
    """YAML's plain values alone: no dates, no tags of one's own, and no more depth than a config has."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.place: list[Any] = []  # keys and numbers of what is being composed
        self.values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node. Raises a `YAMLError` where it lies too deep, or too many came before it."""
        self.place.append(getattr(index, "value", index))
        self.values += 1
        try:
            too_much = (
                f"nested more than {MAX_DEPTH} levels deep"
                if len(self.place) > MAX_DEPTH
                else f"more than {MAX_VALUES} values"
                if self.values > MAX_VALUES
                else ""
            )
            if too_much:
                raise _refusal(f"{_of(self.place[1:2])}{too_much}", self.peek_event())  # type: ignore[no-untyped-call]
            return super().compose_node(parent, index)
        finally:
            self.place.pop()

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Build a value. Raises a `YAMLError` where its text is none of its type: 5000 digits, `!!int x`."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError) as cause:
            raise _refusal(f"{str(node.value)[:40]!r} is no value that can be read", node) from cause


_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix("tag:yaml.org,2002:") in _PLAIN
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, origins: dict[str, str]) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, and note in `origins` the line of each key.

    Args:
        path: The file.
        origins: Receives key path -> "FILE, line N"; an item of a list has its number in the path.

    Raises:
        ConfigError: The file cannot be read, is no YAML mapping, repeats a key, holds itself by an anchor, or is
            larger or deeper than a config can be.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}, line 1: a config is a mapping of groups, found {_kind(node)}")
        _size(node, {})
        _note_lines(node, path, "", origins)
        tree: dict[str, Any] = loader.construct_document(node)
    except yaml.reader.ReaderError as cause:
        number = text.count("\n", 0, cause.position) + 1
        raise ConfigError(f"{path}, line {number}: not valid YAML: {cause.reason}") from cause
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        key = next((f"key {k!r}: " for k, origin in reversed(origins.items()) if origin == where), "")
        raise ConfigError(f"{where}: not valid YAML: {key}{reason_of(cause)}") from cause
    return tree


def read_value(text: str) -> Any:
    """Return the value that one line of YAML holds. Raises `yaml.YAMLError`."""
    node = _Loader(text).get_single_node()
    if node is None:
        return None
    _size(node, {})
    return _Loader(text).get_single_data()


def reason_of(cause: yaml.YAMLError) -> str:
    """Return what is wrong, in one line."""
    return str(getattr(cause, "problem", None) or getattr(cause, "reason", None) or cause).splitlines()[0]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
        if len(found) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES >> 20} MiB: this is no config")
        return found.decode("utf-8")
    except UnicodeDecodeError as cause:
        line = found.count(b"\n", 0, cause.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8 text (byte {cause.start}): save it as UTF-8"
        ) from cause
    except OSError as cause:
        raise ConfigError(f"{path}: cannot be read: {cause.strerror}") from cause


def _size(
    node: yaml.Node, known: dict[int, tuple[int, int] | None], key: tuple[Any, ...] = ()
) -> tuple[int, int]:
    """Return how many values a node means, aliases written out, and how deep they lie; each node is walked once.

    Raises a `YAMLError` where that is more than a config has, or a node holds itself.
    """
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise _refusal(f"{_of(key)}an anchor that holds itself", node)
        return found
    known[id(node)] = None  # at work
    count, height = 1, 1
    for name, child in _children(node):
        below, deep = _size(child, known, (*key, name))
        count, height = count + below, max(height, deep + 1)
    if height > MAX_DEPTH:
        raise _refusal(f"{_of(key)}nested more than {MAX_DEPTH} levels deep", node)
    if count > MAX_VALUES:
        raise _refusal(f"{_of(key)}its aliases stand for more than {MAX_VALUES} values", node)
    known[id(node)] = count, height
    return count, height


def _children(node: yaml.Node) -> list[tuple[Any, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(key.value, part) for key, value in node.value for part in (key, value)]
    return list(enumerate(node.value)) if isinstance(node, yaml.SequenceNode) else []


def _of(key: Sequence[Any]) -> str:
    return f"key '{'.'.join(map(str, key))}': " if key else ""


def _note_lines(node: yaml.Node, path: Path, prefix: str, origins: dict[str, str]) -> None:
    """Record at which line each key stands. Raises `ConfigError` for a key that stands twice in its mapping."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            origins[f"{prefix}{number}"] = f"{path}, line {item.start_mark.line + 1}"
            _note_lines(item, path, f"{prefix}{number}.", origins)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    merged: dict[str, str] = {}
    for key, value in node.value:
        where = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key is a word, found {_kind(key)}")
        if key.tag.endswith(":merge"):  # `<<: *other`
            for mapping in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                _note_lines(mapping, path, prefix, merged)
            continue
        if key.tag.endswith((":null", ":bool")):
            raise ConfigError(f"{where}: YAML reads the key {key.value!r} as no word: quote it")
        full = f"{prefix}{key.value}"
        if key.value in seen:
            raise ConfigError(f"{where}: key {full!r} stands twice")
        seen.add(key.value)
        origins[full] = where
        _note_lines(value, path, f"{full}.", origins)
    for full, where in merged.items():
        origins.setdefault(full, where)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "one value"


def _refusal(problem: str, place: Any) -> yaml.MarkedYAMLError:
    """Return the error for a node or an event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
