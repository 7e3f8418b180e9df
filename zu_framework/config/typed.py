"""From layers to a typed configuration: interpolations resolved, everything checked, defaults written out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from zu_framework.config.groups import (
    COMPONENT_GROUPS,
    CORE_GROUPS,
    CORE_OPTIONS,
    NAMED_OPTIONS,
    SHARED_GROUPS,
    STAGE_GROUPS,
    ModelConfig,
)
from zu_framework.config.interpolation import escaped, look_up, put, put_back, resolved, secrets
from zu_framework.config.layers import Layer, at_origin, lay_over, read_layer, ready_made
from zu_framework.config.overrides import overridden
from zu_framework.config.slots import Slot, component_slots, core_slots, named_slots
from zu_framework.config.structured import LARGEST, check_keys, structured, typed_values
from zu_framework.config.whole import Component, Config, StageConfig
from zu_framework.errors import ConfigError, did_you_mean, in_stage
from zu_framework.registry import Plugins, Registry, installed_plugins

# in the order that a config is written out
KNOWN = ("name", "seed", "model", *COMPONENT_GROUPS, "then", *(g for g in CORE_GROUPS if g != "model"))


def load_config(
    source: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
) -> Config:
    """Return a configuration: a ready-made one, a YAML file or a mapping, under `key=value` overrides.

    A layer that chooses another component for a group drops the options that lower layers gave that group.

    Args:
        source: A name, the path of a file, a mapping, or a `Config` to change.
        overrides: Such as `["data.forget=8", "seed=1"]`; the last one wins.
        plugins: Where the options of components are looked up; by default, what is installed.

    Raises:
        ConfigError: A key is unknown, mistyped or out of range; file, line and key are named.
        UnknownName: No ready-made config has that name.
    """
    if isinstance(source, Config):
        return typed_config(source.name, overridden(source.layer, overrides), plugins=plugins)
    name, layer = read_layer(source, ready_made())
    return typed_config(name, overridden(layer, overrides), plugins=plugins)


def typed_config(name: str, layer: Layer, *, plugins: Plugins | None = None) -> Config:
    """Return the configuration that a layer means. A component that no plugin offers is left untyped.

    Args:
        name: What the configuration is called, where it has no key `name`.

    Raises:
        ConfigError: As `load_config`.
    """
    registry = (plugins or installed_plugins()).registry
    stages = list(_stage_layers(_with_metrics(layer, registry)))
    slots = list(_slots(stages, registry))
    elsewhere = _elsewhere(slots)
    _check_groups(layer, elsewhere)
    for slot in slots:
        if slot.options is not None:
            with in_stage(slot.stage):
                check_keys(slot.keys, slot.given, slot.group, slot.owner, slot.origins, elsewhere)

    written = _written(layer, slots, len(stages) - 1)
    values = resolved(written, _origins(layer, slots))
    core, components = {}, {}
    for slot in slots:
        with in_stage(slot.stage):
            if slot.group in CORE_GROUPS:
                core[slot.group] = _core_group(slot, values)
            elif found := _component(slot, values):
                components[slot.path] = found
    _check_together(core["model"], layer)
    values = {"name": _name(name, values, layer), "seed": _seed(values, layer), **values}
    tree = escaped({key: values[key] for key in KNOWN if key in values})
    hidden = secrets(written, values)
    put_back(tree, hidden)
    return Config(
        name=values["name"],
        seed=values["seed"],
        **core,
        components={group: components[group,] for group in SHARED_GROUPS if (group,) in components},
        stages=tuple(_stage(number, stage, components) for number, stage in enumerate(stages)),
        tree=tree,
        layer=layer,
        secrets=tuple(".".join(map(str, path)) for path in hidden),
    )


def _with_metrics(layer: Layer, registry: Registry) -> Layer:
    """Say what is measured where a layer does not: the metrics that are registered for that."""
    group = layer.tree.get("evaluate") or {}
    if not isinstance(group, Mapping) or "metrics" in group:
        return layer
    return replace(layer, tree={**layer.tree, "evaluate": {**group, "metrics": registry.default_metrics}})


def _check_groups(layer: Layer, elsewhere: Mapping[str, list[str]]) -> None:
    for key in layer.tree:
        if key not in KNOWN:
            hint = did_you_mean(str(key), KNOWN, elsewhere.get(str(key), ()))
            if "." in str(key):
                group, _, rest = str(key).partition(".")
                hint = f"in a file write {group}: {{{rest}: ...}}. "
            listing = ", ".join(KNOWN)
            raise ConfigError(
                f"{at_origin(layer.origins, str(key))}unknown group {key!r}: {hint}groups: {listing}"
            )


def _stage_layers(layer: Layer) -> Iterator[Layer]:
    """Yield what each stage says: what stands at the top, then each entry of `then` laid over the one before."""
    entries = layer.tree.get("then") or []
    if not isinstance(entries, list):
        at = next((key for key in layer.origins if key == "then" or key.startswith("then.")), "then")
        raise ConfigError(
            f"{at_origin(layer.origins, at)}`then` is a list of stages, got {entries!r}: give it whole, "
            "then=[{...}], before a key such as then.0.target.clamp changes it"
        )
    yield layer
    laid = layer.only(STAGE_GROUPS)
    for number, entry in enumerate(entries):
        at = f"then.{number}"
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(
                f"{at_origin(layer.origins, at)}{at} is a stage, a mapping of {', '.join(STAGE_GROUPS)}; got {entry!r}"
            )
        other = next((key for key in entry if key not in STAGE_GROUPS), None)
        if other is not None:
            raise ConfigError(
                f"{at_origin(layer.origins, f'{at}.{other}')}{at}.{other}: a stage may change "
                f"{', '.join(STAGE_GROUPS)}"
            )
        laid = lay_over(laid, layer.below(at))
        yield laid


def _slots(stages: Sequence[Layer], registry: Registry) -> Iterator[Slot]:
    """Yield every group of options, in the order of the whole tree."""
    first = stages[0]
    yield from core_slots(first)
    yield from named_slots(first, registry)
    for group in SHARED_GROUPS:
        yield from component_slots((), group, first, registry)
    for number, stage in enumerate(stages):
        with in_stage(number):
            for group in STAGE_GROUPS:
                yield from component_slots(_path(number), group, stage, registry, number)


def _path(stage: int) -> tuple[Any, ...]:
    return ("then", stage - 1) if stage else ()


def _elsewhere(slots: Iterable[Slot]) -> dict[str, list[str]]:
    """Key -> the full keys of the groups that have it, stages after the first aside."""
    found: dict[str, list[str]] = {}
    for slot in slots:
        for key in slot.keys if not slot.stage else ():
            found.setdefault(key, []).append(f"{slot.group}.{key}")
    return found


def _written(layer: Layer, slots: Iterable[Slot], further: int) -> dict[str, Any]:
    """The whole tree before interpolations are resolved: what is given, over defaults."""
    tree: dict[str, Any] = {key: layer.tree[key] for key in ("name", "seed") if key in layer.tree}
    tree["then"] = [{} for _ in range(further)]
    for slot in slots:
        given = {**({"name": slot.name} if slot.name else {}), **slot.defaults, **slot.given}
        if slot.group in NAMED_OPTIONS and isinstance(given["options"], Mapping):
            given["options"] = dict(given["options"])  # those of each metric and audit follow, over these
        put(tree, slot.path, given)
    return tree


def _origins(layer: Layer, slots: Iterable[Slot]) -> dict[str, str]:
    """Where each key of the whole tree was set; a stage's inherited keys with it."""
    found = dict(layer.origins)
    for slot in slots:
        if slot.stage:
            prefix = ".".join(map(str, slot.path))
            for key, where in slot.origins.items():
                if key.startswith(f"{slot.group}."):
                    found.setdefault(f"{prefix}{key.removeprefix(slot.group)}", where)
    return found


def _core_group(slot: Slot, values: dict[str, Any]) -> Any:
    """A group of the core, typed; what it is goes into `values`."""
    found = look_up(values, slot.path)
    group = structured(
        slot.options, {key: found[key] for key in slot.given}, slot.group, slot.owner, slot.origins
    )
    for option in fields(group):
        least = option.metadata.get("least")
        value = getattr(group, option.name)
        if least is not None and value < least:
            key = f"{slot.group}.{option.name}"
            raise ConfigError(f"{at_origin(slot.origins, key)}{key} must be at least {least}, got {value}")
    found.update({key: value for key, value in asdict(group).items() if key != "options"})
    return group


def _component(slot: Slot, values: dict[str, Any]) -> Component | None:
    """A component group, its options of their types; what it is goes into `values`. None for a metric."""
    found = look_up(values, slot.path)
    given = {key: found[key] for key in slot.given}
    core: dict[str, Any] = {}
    for option in CORE_OPTIONS:
        if option.group != slot.group:
            continue
        value = given.pop(option.key, None)
        if value is None:
            found[option.key] = slot.defaults[option.key]
            continue
        if not option.takes(value):
            key = f"{slot.group}.{option.key}"
            raise ConfigError(f"{at_origin(slot.origins, key)}{key} is {option.meaning}, got {value!r}")
        core[option.key] = 0 if value == "all" else value
    if slot.options is not None:
        typed = typed_values(slot.options, given, slot.group, slot.owner, slot.origins)
        found.update(typed)
        given = {key: typed[key] for key in given}
    return Component(slot.group, slot.name, given, **core) if slot.name else None


def _stage(number: int, layer: Layer, components: Mapping[tuple[Any, ...], Component]) -> StageConfig:
    paths = {group: (*_path(number), group) for group in STAGE_GROUPS}
    named = {group: components[path] for group, path in paths.items() if path in components}
    return StageConfig(number, named, layer.origins)


def _name(name: str, values: Mapping[str, Any], layer: Layer) -> str:
    given = values.get("name", name)
    if not isinstance(given, str) or not given:
        raise ConfigError(
            f"{at_origin(layer.origins, 'name')}name is what the config is called, got {given!r}"
        )
    return given


def _seed(values: Mapping[str, Any], layer: Layer) -> int:
    given = values.get("seed", 0)
    seed = int(given) if isinstance(given, str) and given.isdecimal() and len(given) < 20 else given
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST:
        raise ConfigError(
            f"{at_origin(layer.origins, 'seed')}seed must be a whole number >= 0, got {given!r} "
            f"(at most {LARGEST})"
        )
    return seed


def _check_together(model: ModelConfig, layer: Layer) -> None:
    """Raise `ConfigError` where the model's options contradict each other."""
    if model.system and not model.chat:
        raise ConfigError(
            f"{at_origin(layer.origins, 'model.system')}model.system is read with model.chat=true alone"
        )
