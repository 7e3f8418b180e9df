"""The axes of a bench: models, data sets and methods, each a list of entries that overrides address by label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zu_framework.config import COMPONENT_GROUPS, CORE_GROUPS, Layer, at_origin, lay_over, parse_override
from zu_framework.errors import ConfigError, did_you_mean, unknown_name

AXES = ("models", "datasets", "methods")
OWN = (*AXES, "seeds", "forget", "bench", "executor")
LABEL = re.compile(r"[^\W_][\w .,:+()*/-]*")


@dataclass(frozen=True)
class Entry:
    """One item of an axis, and what it lays over the common config."""

    label: str
    layer: Layer


def entries_of(axis: str, layer: Layer, where: str = "") -> list[Entry]:
    """Return the entries of an axis.

    Args:
        where: What set them, for messages; by default, their places in the layer.

    Raises:
        ConfigError: They are no list of entries, or a label cannot be or stands twice.
    """
    given = layer.tree.get(axis)
    if given is None:
        return []
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"{where or at_origin(layer.origins, axis)}`{axis}` is a list of {{label: ..., <groups>}}, got {given!r}"
        )
    found: list[Entry] = []
    for number, item in enumerate(given):
        at = where or at_origin(layer.origins, f"{axis}.{number}")
        if not isinstance(item, Mapping) or not isinstance(item.get("label"), str):
            raise ConfigError(
                f"{at}an entry of `{axis}` is {{label: ..., <groups of a run config>}}, got {item!r}"
            )
        label = item["label"]
        if not LABEL.fullmatch(label):
            raise ConfigError(
                f"{at}label {label!r}: a letter or digit, then also spaces and , : + ( ) * / - _ ."
            )
        if label in [entry.label for entry in found]:
            raise ConfigError(f"{at}label {label!r} stands twice in `{axis}`")
        for group in ("seed", "name", "base", *OWN):
            if group in item:
                raise ConfigError(
                    f"{at}an entry of `{axis}` cannot set `{group}`: it belongs to the whole bench"
                )
        found.append(Entry(label, layer.below(f"{axis}.{number}").without("label")))
    return found


def overridden_entries(axis: str, rest: str, entries: list[Entry], override: str) -> list[Entry]:
    """Return the entries of an axis under one override.

    Args:
        rest: The override's key without the axis: "" where it chooses among the entries.

    Raises:
        ConfigError: No entry has that label.
        UnknownName: One that is chosen is not there.
    """
    labels = [entry.label for entry in entries]
    if not rest:  # a choice among the entries, or a list of its own
        given = parse_override(override)
        value: Any = given.tree[axis]
        if not isinstance(value, list) or any(isinstance(item, Mapping) for item in value):
            return entries_of(axis, given, f"override {override!r}: ")
        if not value:
            raise ConfigError(f"override {override!r}: chooses none of {', '.join(labels)}")
        for label in value:
            if label not in labels:
                listing = f"`{axis}` has: {', '.join(labels)}"
                raise unknown_name(axis.removesuffix("s"), str(label), labels, listing)
        return [entry for label in dict.fromkeys(value) for entry in entries if entry.label == label]
    named = [label for label in labels if rest.startswith(f"{label}.")]
    if not named:
        hint = did_you_mean(rest.partition(".")[0], labels)
        raise ConfigError(
            f"override {override!r}: {hint}write {axis}.LABEL.<key>=value with one of the labels {', '.join(labels)}"
        )
    label = max(named, key=len)
    upper = parse_override(override.partition(f"{axis}.{label}.")[2])
    upper = Layer(upper.tree, dict.fromkeys(upper.origins, f"override {override!r}"), upper.written)
    return [
        Entry(label, lay_over(entry.layer, upper)) if entry.label == label else entry for entry in entries
    ]


def refuse_mistyped(common: Layer) -> None:
    """Refuse a key that is none of a run's groups, and close to one that a bench has of its own.

    Args:
        common: What all cells share.

    Raises:
        ConfigError: There is one.
    """
    for key in common.tree:
        near = did_you_mean(str(key), OWN, most=1)
        if near and key not in ("name", "seed", "then", *COMPONENT_GROUPS, *CORE_GROUPS):
            raise ConfigError(
                f"{at_origin(common.origins, str(key))}unknown key {key!r}: {near}a bench has {', '.join(OWN)}, and "
                "the groups of a run"
            )
