"""Interpolations, `${data.path}` and `${oc.env:HOME}`: resolved over the whole config, secrets left as references."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from zu_framework.config.layers import at_origin
from zu_framework.errors import ConfigError

MAX_CHARACTERS = 1 << 16  # of a resolved text: thirty interpolations can mean a billion
MISSING = "???"

_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*([^,}]*)")
_SECRET = re.compile(
    r"token|passw|passphrase|secret|credential|(^|[^a-z])pwd|key(s?)($|[^a-z])", re.IGNORECASE
)

Path = tuple[Any, ...]


def escaped(value: Any) -> Any:
    """Return text that OmegaConf reads back as it is, `${` and the backslashes before it escaped; trees alike."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    if isinstance(value, Mapping):
        return {key: escaped(below) for key, below in value.items()}
    return [escaped(below) for below in value] if isinstance(value, list | tuple) else value


def resolved(tree: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Return a tree with every interpolation replaced by what it stands for.

    What needs others waits until they are resolved, so that each is resolved once.

    Raises:
        ConfigError: One that cannot be parsed, leads nowhere or to itself, or grows beyond bounds; its key is named.
    """
    waiting = dict(_interpolations(tree))
    if not waiting:
        return dict(tree)
    for path, text in waiting.items():
        _parses(path, text, origins)
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(dict(tree)))  # type: ignore[assignment]
    for path in waiting:
        put(plain, path, MISSING)
    root = OmegaConf.create(plain)
    while waiting:
        # a default of oc.select stands for a key that is not there, not for one that waits: these come last
        direct = {path: text for path, text in waiting.items() if not re.search(r"oc\.(select|dict)", text)}
        done = _ready(root, direct, origins) or _ready(root, waiting, origins)
        if not done:
            path, text = next(iter(waiting.items()))
            raise _refused(path, text, "it leads back to itself, or to a key without a value", origins)
        for path, value in done.items():
            put(plain, path, value)
            del waiting[path]
    return plain


def _ready(root: Any, waiting: Mapping[Path, str], origins: Mapping[str, str]) -> dict[Path, Any]:
    """Resolve, in place, those that lead to no other that waits; return their values."""
    done = {}
    for path, text in waiting.items():
        put(root, path, text)
        try:
            done[path] = _value(root, path)
        except (InterpolationToMissingValueError, MissingMandatoryValue):
            put(root, path, MISSING)
            continue
        except (OmegaConfBaseException, ValueError, RecursionError) as cause:
            raise _refused(path, text, str(cause).splitlines()[0], origins) from cause
        if isinstance(done[path], str) and len(done[path]) > MAX_CHARACTERS:
            raise _refused(path, text, f"longer than {MAX_CHARACTERS} characters", origins)
        put(root, path, escaped(done[path]))
    return done


def secrets(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[Path, str]:
    """Return the interpolations, by key path, whose values are secret: they stand for what must not be written.

    Args:
        tree: Interpolations unresolved.
        values: The same tree, resolved.
    Returns:
        Those that read an environment variable whose name, or the name of their own key, looks like a token, password,
        secret, key or credential; and whatever holds such a value.
    """
    texts = {path: text for path, text in _interpolations(tree) if isinstance(look_up(values, path), str)}
    hidden = set()
    for path, text in texts.items():
        variables = [name.strip() for name in _VARIABLE.findall(text)]
        if variables and (_looks_secret(str(path[-1])) or any("${" in name for name in variables)):
            hidden.add(look_up(values, path))
        hidden.update(os.environ.get(name, "") for name in variables if _looks_secret(name))
    hidden.discard("")
    return {path: text for path, text in texts.items() if any(one in look_up(values, path) for one in hidden)}


def look_up(tree: Any, path: Path) -> Any:
    """Return what stands at a key path."""
    for part in path:
        tree = tree[part]
    return tree


def put(tree: Any, path: Path, value: Any) -> None:
    """Set what stands at a key path."""
    look_up(tree, path[:-1])[path[-1]] = value


def put_back(tree: dict[str, Any], texts: Mapping[Path, str]) -> None:
    """Set interpolations again, by key path, in a resolved tree."""
    for path, text in texts.items():
        put(tree, path, text)


def _looks_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _interpolations(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield key path and text of each value that holds `${`."""
    if isinstance(value, str):
        if "${" in value:
            yield path, value
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _interpolations(below, (*path, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _interpolations(below, (*path, number))


def _parses(path: Path, text: str, origins: Mapping[str, str]) -> None:
    try:
        OmegaConf.create({"value": text})
    except GrammarParseError as cause:
        raise _refused(path, text, str(cause).splitlines()[0], origins) from cause


def _value(root: Any, path: Path) -> Any:
    found = look_up(root, path)
    return (
        OmegaConf.to_container(found, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(found)
        else found
    )


def _refused(path: Path, text: str, reason: str, origins: Mapping[str, str]) -> ConfigError:
    key = ".".join(map(str, path))
    return ConfigError(f"{at_origin(origins, key)}'{key}' cannot be {text!r}: {reason}")
