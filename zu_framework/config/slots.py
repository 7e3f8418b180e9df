"""Where options stand in a config: the core's groups, the component groups of each stage, the options of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from zu_framework.config.groups import COMPONENT_GROUPS, CORE_GROUPS, CORE_OPTIONS, NAMED_OPTIONS
from zu_framework.config.interpolation import Path
from zu_framework.config.layers import Layer, as_group, at_origin
from zu_framework.config.overrides import text_of, unreadable
from zu_framework.config.structured import typed_defaults
from zu_framework.errors import ConfigError
from zu_framework.registry import Registered, Registry


@dataclass(frozen=True)
class Slot:
    """One group of options.

    Args:
        path: Where it stands in the whole tree.
        group: What messages call it, without its stage.
        owner: Whose options these are, for messages.
        options: Their dataclass; None where no plugin offers the component.
        given: What is said of them, interpolations unresolved.
        defaults: What else there is, as plain values.
        origins: Where each key was set, by the key with `group`.
        name: Of the component; "" for a group of the core.
        stage: The stage that it belongs to, from 0.
    """

    path: Path
    group: str
    owner: str
    options: Any
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    origins: Mapping[str, str]
    name: str = ""
    stage: int = 0

    @property
    def keys(self) -> list[str]:
        """Every key that it may hold."""
        return list(self.defaults)


def core_slots(layer: Layer) -> Iterator[Slot]:
    """Yield the groups of the core. Raises `ConfigError` for one that is no mapping."""
    for group, options in CORE_GROUPS.items():
        given = layer.tree.get(group)
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(
                f"{at_origin(layer.origins, group)}group {group!r} is a mapping of keys, got {given!r}"
            )
        yield _slot((group,), group, f"group `{group}`", options, given or {}, layer)


def named_slots(layer: Layer, registry: Registry) -> Iterator[Slot]:
    """Yield the options of each metric and audit that is named and has any.

    Raises:
        ConfigError: They are no mapping.
    """
    for group, (kind, key) in NAMED_OPTIONS.items():
        given = layer.tree.get(group) or {}
        names = given.get(key, getattr(CORE_GROUPS[group](), key))
        options = given.get("options") or {}
        for name in names if isinstance(names, list) and isinstance(options, Mapping) else ():
            found = _offer(registry, kind, name)
            where = f"{group}.options.{name}"
            own = options.get(name) or {}
            if not isinstance(own, Mapping):
                at = at_origin(layer.origins, where)
                raise ConfigError(f"{at}{where} is a mapping of options, got {own!r}")
            if found is not None and fields(found.spec.options):
                yield _slot(
                    (group, "options", name), where, f"{kind} {name!r}", found.spec.options, own, layer
                )


def component_slots(
    place: Path, group: str, layer: Layer, registry: Registry, stage: int = 0
) -> Iterator[Slot]:
    """Yield the component group of that name, where the layer has it. Raises `ConfigError` where it has no name."""
    value = layer.tree.get(group)
    if value is None:
        return
    given = as_group(value) or {}
    name = given.get("name")
    if not isinstance(name, str):
        raise ConfigError(
            f"{at_origin(layer.origins, group)}group {group!r} needs a `name`: {group}: {{name: ..., <its options>}}; "
            f"got {value!r}"
        )
    found = _offer(registry, COMPONENT_GROUPS[group], name)
    owner = f"{COMPONENT_GROUPS[group]} {name!r}"
    options = found.spec.options if found else None
    own = {str(key): one for key, one in given.items() if key != "name"}
    core = {option.key: option.default for option in CORE_OPTIONS if option.group == group}
    declared = getattr(found.spec, "group_size", None) if found else None
    if declared and "group_size" in core:
        core["group_size"] = declared
    yield _slot((*place, group), group, owner, options, own, layer, core, name, stage)


def _slot(
    path: Path,
    group: str,
    owner: str,
    options: Any,
    given: Mapping[str, Any],
    layer: Layer,
    core: Mapping[str, Any] | None = None,
    name: str = "",
    stage: int = 0,
) -> Slot:
    plain = OmegaConf.create({}) if options is None else typed_defaults(options, owner)
    hints = {} if options is None else get_type_hints(options)
    said = {key: _as_written(hints.get(key), value, f"{group}.{key}", layer) for key, value in given.items()}
    own: Any = OmegaConf.to_container(plain, enum_to_str=True)
    defaults = {**(core or {}), **own}
    return Slot(path, group, owner, options, said, defaults, layer.origins, name, stage)


def _as_written(kind: Any, value: Any, key: str, layer: Layer) -> Any:
    """What is said of an option; an override that is wanted as text counts as it was typed."""
    text = layer.written.get(key)
    if text is None or kind is None or kind is Any:
        return value
    optional = NoneType in get_args(kind)
    kinds = set(get_args(kind)) - {NoneType} if optional else {kind}
    if all(one is str or get_origin(one) is Literal for one in kinds):
        return text_of(text, optional=optional)
    if unreadable(text):
        raise ConfigError(
            f"{at_origin(layer.origins, key)}the value is not valid YAML; quote it: '{key}=\"...\"'"
        )
    return value


def _offer(registry: Registry, kind: str, name: Any) -> Registered | None:
    """The component of that name, None where no plugin or several offer it: whoever needs it says so."""
    offers = registry.components.get(kind, {}).get(name, []) if isinstance(name, str) else []
    return offers[0] if len(offers) == 1 else None
