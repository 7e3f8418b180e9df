"""Overrides: `key=value` from the command line as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zu_framework.config.interpolation import escaped
from zu_framework.config.layers import Layer, lay_over, merged
from zu_framework.config.reading import read_value
from zu_framework.errors import ConfigError


def overridden(lower: Layer, overrides: Sequence[str]) -> Layer:
    """Return the layer under overrides, the last of which wins.

    Raises:
        ConfigError: An override that is no `key=value`, or what `lay_over` refuses.
    """
    upper = Layer({})
    # gathered first: `solver.name=` may come before or after that solver's options
    for override in overrides:
        given = parse_override(override)
        stages, changes = upper.tree.get("then"), given.tree.get("then")
        if isinstance(stages, list) and isinstance(changes, Mapping):
            upper = lay_over(upper, given)
            continue
        origins = {**upper.origins, **given.origins}
        upper = Layer(merged(upper.tree, given.tree, origins), origins, {**upper.written, **given.written})
    return lay_over(lower, upper)


def parse_override(override: str) -> Layer:
    """Return `a.b=value` as {a: {b: value}}: the value read as YAML, and as it was written.

    Which of both counts is known when the option's type is: a text is taken as written.

    Raises:
        ConfigError: No `=`, or an empty part in the key.
    """
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(
            f"override {override!r}: write key=value, for example seed=1 or solver.name=zerounlearn-local"
        )
    if not all(key.split(".")):
        raise ConfigError(f"override {override!r}: empty part in key {key!r}")
    tree: Any = _value(text)
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return Layer(tree, {key: f"override {override!r}"}, {key: text})


def text_of(text: str, *, optional: bool) -> Any:
    """Return what an override says to an option that wants text.

    Args:
        text: As it was written: that counts, spaces, `#`, `: ` and `${` with it, unless it is one quoted text.
        optional: The option may be null.
    """
    if unreadable(text):
        return escaped(text)
    value = read_value(text)
    if isinstance(value, bool):  # an unquoted yes or no, which is refused with what YAML made of it
        return value
    if value is None and optional and text.strip().lower() == "null":
        return None
    quoted = isinstance(value, str) and text.strip()[0] in "'\""
    return escaped(value if quoted else text)


def unreadable(text: str) -> bool:
    """Return whether an override's value is no YAML."""
    try:
        read_value(text)
    except yaml.YAMLError:
        return True
    return False


def _value(text: str) -> Any:
    """The value as YAML reads it; the text itself where it is no YAML, or nothing that a config holds."""
    if not text.strip():
        return ""
    try:
        value = read_value(text)
        OmegaConf.create({"value": value})
    except (yaml.YAMLError, OmegaConfBaseException):
        return escaped(text)
    return value
