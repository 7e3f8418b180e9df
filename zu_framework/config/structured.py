"""An options dataclass from plain values, typed by OmegaConf: what is unknown or wrong is refused with its key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_origin

from omegaconf import ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zu_framework.config.interpolation import MISSING, escaped
from zu_framework.config.layers import at_origin
from zu_framework.errors import ConfigError, PluginError, did_you_mean
from zu_framework.specs import Spec

LARGEST = 2**63 - 1  # what torch and C hold


def options_from(
    spec: Spec, given: Mapping[str, Any], *, where: str, origins: Mapping[str, str] | None = None
) -> Any:
    """Return the options dataclass of a component, merged by OmegaConf from plain values.

    Args:
        given: The options as written, interpolations resolved.
        where: The config group, for messages (`solver.forget_weight`).
        origins: Where each key was set, for messages.

    Raises:
        ConfigError: An unknown key (with close matches), a wrong type, or whatever the dataclass itself refuses.
    """
    return structured(spec.options, given, where, f"{spec.kind} {spec.name!r}", origins or {})


def structured(
    options: type[Any], given: Mapping[str, Any], where: str, owner: str, origins: Mapping[str, str]
) -> Any:
    """Return an options dataclass from plain values.

    Args:
        where: Its group, for messages.
        owner: What to call it in messages.
        origins: Where each key was set, by the key with its group.

    Raises:
        ConfigError: As `options_from`.
    """
    merged = _merged(options, given, where, owner, origins)
    try:
        return OmegaConf.to_object(merged)
    except ConfigError as cause:  # an options dataclass refused a value in its __post_init__
        refused = cause
    except OmegaConfBaseException as cause:
        if not isinstance(cause.__cause__, ConfigError):
            raise ConfigError(f"{owner}: {_first_line(cause)}") from cause
        refused = cause.__cause__
    option = refused.option if refused.option in given else ""
    at = at_origin(origins, f"{where}.{option}" if option else where)
    raise ConfigError(f"{at}{owner}: {refused}", option=option) from refused


def typed_values(
    options: type[Any], given: Mapping[str, Any], where: str, owner: str, origins: Mapping[str, str]
) -> dict[str, Any]:
    """Return every option as a plain value of its type, defaults included; `__post_init__` is not asked.

    Raises:
        ConfigError: An unknown key or a wrong type.
    """
    merged = _merged(options, given, where, owner, origins)
    found: Any = OmegaConf.to_container(merged, resolve=True, enum_to_str=True)
    return dict(found)


@cache
def _base(options: Any) -> Any:
    return OmegaConf.structured(options)


def typed_defaults(options: Any, owner: str) -> Any:
    """Return an options dataclass as a DictConfig at its defaults, which nobody may change.

    Raises:
        PluginError: It has a type that OmegaConf does not know.
    """
    try:
        return _base(options)
    except (OmegaConfBaseException, NameError, TypeError, ValueError) as cause:
        raise PluginError(f"{owner}: its options cannot be typed: {_first_line(cause)}") from cause


def check_keys(
    names: list[str],
    given: Mapping[str, Any],
    where: str,
    owner: str,
    origins: Mapping[str, str],
    elsewhere: Mapping[str, list[str]],
) -> None:
    """Raise `ConfigError` for a key that a group does not have, with close ones.

    Args:
        names: The group's keys.
        elsewhere: Key -> the full keys of other groups that have it.
    """
    for key in given:
        if key in names:
            continue
        hint = did_you_mean(str(key), names, elsewhere.get(str(key), ()))
        listing = f"{owner} has: {', '.join(names)}" if names else f"{owner} has no options"
        at = at_origin(origins, f"{where}.{key}")
        raise ConfigError(f"{at}unknown key '{where}.{key}': {hint}{listing}")


def _merged(
    options: type[Any], given: Mapping[str, Any], where: str, owner: str, origins: Mapping[str, str]
) -> Any:
    """The dataclass as a DictConfig under the given values."""
    known = {option.name: option for option in fields(options)}
    check_keys(list(known), given, where, owner, origins, {})
    values = {}
    for key, value in given.items():
        at = f"{at_origin(origins, f'{where}.{key}')}'{where}.{key}'"
        for fault in _faults(value):
            raise ConfigError(f"{at} cannot be {_short(value)}: {fault}")
        values[key] = _at_home(known[key], value, at)
    base = typed_defaults(options, owner)
    try:
        merged = OmegaConf.merge(base, escaped(values)) if values else base
    except (OmegaConfBaseException, ValueError, TypeError):
        _blame(base, known, values, where, origins)
        raise
    for key, value in values.items():
        at = f"{at_origin(origins, f'{where}.{key}')}'{where}.{key}'"
        kept = getattr(merged, str(key))
        _no_word_read_as_truth(value, kept, at)
        if any(isinstance(one, float) and math.isnan(one) for one in _leaves(kept)):
            raise ConfigError(f"{at} cannot be {_short(value)}: nan is no number")
        # a mapping of limits may leave one out by an infinite one
        if not isinstance(kept, Mapping) and _infinite(kept) and not _infinite(getattr(base, str(key))):
            raise ConfigError(f"{at} cannot be {_short(value)}: give a finite number")
    return merged


def _blame(
    base: Any,
    known: Mapping[str, Field[Any]],
    values: Mapping[str, Any],
    where: str,
    origins: Mapping[str, str],
) -> None:
    """Raise `ConfigError` for the one value of several that cannot be merged."""
    for key, value in values.items():
        try:
            OmegaConf.merge(base, {key: escaped(value)})
        except (OmegaConfBaseException, ValueError, TypeError) as cause:
            at = f"{at_origin(origins, f'{where}.{key}')}'{where}.{key}'"
            meant = known[key].metadata.get("spellings", {}).get(str(value))
            hint = f"did you mean {meant!r}? " if meant else ""
            fault = _misshapen(base._get_node(key), value) or _first_line(cause)
            raise ConfigError(f"{at} cannot be {_short(value)}: {hint}{fault}") from cause


def _misshapen(node: Any, value: Any) -> str:
    """What is wrong with the shape of a value, in words; "" where its shape is right."""
    kind = get_origin(node._metadata.ref_type) or node._metadata.ref_type
    several = kind in (list, tuple)
    if value is None:
        return "it may not be null"
    if several and not isinstance(value, list | tuple | Mapping):
        return f"it is a list, written in brackets: [{value}]"
    if kind is dict and not isinstance(value, Mapping):
        return "it is a mapping of keys"
    if isinstance(value, Mapping) and kind is not dict:
        return "it is a list, not a mapping of keys" if several else "it is one value, not a mapping of keys"
    return "it is one value, not a list" if isinstance(value, list | tuple) and not several else ""


def _infinite(value: Any) -> bool:
    return any(isinstance(one, float) and math.isinf(one) for one in _leaves(value))


def _faults(value: Any) -> Iterator[str]:
    """What no option can be, whatever its type."""
    for one in _leaves(value):
        if isinstance(one, int) and abs(one) > LARGEST:
            yield f"a whole number is at most {LARGEST}"
        elif one == MISSING:
            yield "OmegaConf reads ??? as a value that is missing"
        elif isinstance(one, str) and "\0" in one:
            yield "it holds a NUL character"
        elif isinstance(one, str) and any("\ud800" <= c <= "\udfff" for c in one):
            yield "it is no Unicode text in this locale"


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | ListConfig | list):
        for below in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(below)
    else:
        yield value


def _at_home(option: Field[Any], value: Any, at: str) -> Any:
    """A path option's value with a leading `~` expanded."""
    if not option.metadata.get("path"):
        return value
    if isinstance(value, list):
        return [_at_home(option, one, at) for one in value]
    if not isinstance(value, str) or not value.startswith("~"):
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError as cause:
        raise ConfigError(f"{at} is {value!r}: no home folder of that user is known here") from cause


def _no_word_read_as_truth(given: Any, merged: Any, where: str) -> None:
    """YAML reads an unquoted On, No or Yes as true or false; where a text is wanted, that is not what was meant."""
    pairs = zip(given, merged, strict=False) if isinstance(given, list) else [(given, merged)]
    for value, kept in pairs:
        if isinstance(value, bool) and isinstance(kept, str):
            raise ConfigError(
                f"{where} wants text, and YAML reads an unquoted yes, no, on or off as {value}: quote it"
            )


def _first_line(cause: BaseException) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
