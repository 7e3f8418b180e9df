"""Layers of a config: plain trees with the places where their keys were set, laid over one another by OmegaConf."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zu_framework.config.groups import COMPONENT_GROUPS, STAGE_GROUPS
from zu_framework.config.reading import MAX_DEPTH, read_yaml
from zu_framework.errors import ConfigError, UnknownName, did_you_mean, unknown_name

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Layer:
    """A plain tree of keys, interpolations unresolved.

    Args:
        tree: Mappings, lists and plain values.
        origins: Key path -> where it was set, such as "run.yaml, line 3"; an item of a list has its number in the path.
        written: Key path -> the value of an override as it was typed, before YAML read it.
    """

    tree: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def below(self, key: str) -> Layer:
        """Return what lies under a key path, its own paths without it; empty where nothing does."""
        tree: Any = self.tree
        for part in key.split("."):
            if isinstance(tree, list):
                tree = tree[int(part)] if part.isdigit() and int(part) < len(tree) else None
            else:
                tree = tree.get(part) if isinstance(tree, Mapping) else None
        own = tree if isinstance(tree, Mapping) else {}
        return Layer(own, _stripped(self.origins, f"{key}."), _stripped(self.written, f"{key}."))

    def only(self, keys: Sequence[str]) -> Layer:
        """Return the same with those of its top keys alone."""
        return Layer({k: v for k, v in self.tree.items() if k in keys}, self.origins, self.written)

    def without(self, *keys: str) -> Layer:
        """Return the same without some of its top keys."""
        return Layer({k: v for k, v in self.tree.items() if k not in keys}, self.origins, self.written)


def at_origin(origins: Mapping[str, str], key: str) -> str:
    """Return 'FILE, line N: ' of a key, or of the nearest group above it; '' for values given in Python."""
    while key:
        if key in origins:
            return f"{origins[key]}: "
        key = key.rpartition(".")[0]
    return ""


def ready_made(folder: str = "configs") -> dict[str, Path]:
    """Return the configurations inside a folder of the package, by name."""
    folder_path = Path(str(files("zu_framework") / folder))
    return {path.stem: path for path in sorted(folder_path.glob("*.yaml"))}


def read_layer(source: str | Path | Mapping[str, Any], named: Mapping[str, Path]) -> tuple[str, Layer]:
    """Return name and layer of a source, laid over what its `base` names.

    Args:
        source: A name of `named`, a YAML file, or a mapping.
        named: The ready-made configurations that `source` and `base` may name.

    Raises:
        ConfigError: A file that cannot be read, a base that leads back to itself.
        UnknownName: A name that is neither ready-made nor a file.
    """
    if isinstance(source, Mapping):
        return "config", _with_base(Layer(_plain(source, "")), named, ())
    path = _find(str(source), named)
    layer = _with_base(_file(path), named, (path.resolve(),))
    return path.stem, layer


def lay_over(lower: Layer, upper: Layer) -> Layer:
    """Return the lower layer under the upper one.

    A group that names another component loses the lower one's options: they belonged to the other component.

    Raises:
        ConfigError: A mapping meets a list, or a change names a stage that is not there.
    """
    kept, given = dict(lower.tree), dict(upper.tree)
    renamed = []
    for group in COMPONENT_GROUPS:
        old, new = as_group(kept.get(group)), as_group(given.get(group))
        if old is None or new is None:
            continue
        if new.get("name", old.get("name")) != old.get("name"):
            renamed.append(group)
        kept[group] = {} if group in renamed else old
        given[group] = new
    stages, changes = kept.get("then"), given.get("then")
    if isinstance(stages, list):
        kept["then"] = stages = _without_options(stages, renamed)
        if isinstance(changes, Mapping):  # `then.0.target.clamp=0.5`
            given["then"] = _stages_over(stages, changes)
    origins = {**lower.origins, **upper.origins}
    written = {k: text for k, text in lower.written.items() if not _sets(upper.tree, k)} | {**upper.written}
    return Layer(merged(kept, given, origins), origins, written)


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Return one tree over another, merged by OmegaConf. Raises `ConfigError` with the key that cannot be."""
    clash = _clash(lower, upper)
    if clash:
        value: Any = upper
        for part in clash.split("."):
            value = value[part]
        way_out = f"give it whole, {clash}=[...]" if isinstance(value, Mapping) else "it is a mapping of keys"
        raise ConfigError(f"{at_origin(origins, clash)}'{clash}' cannot be {value!r}: {way_out}")
    try:
        found: Any = OmegaConf.to_container(OmegaConf.merge(dict(lower), dict(upper)))
    except OmegaConfBaseException as cause:
        key = _first(cause)
        raise ConfigError(
            f"{at_origin(origins, key)}{key or 'config'}: {str(cause).splitlines()[0]}"
        ) from cause
    return dict(found)


def as_group(value: Any) -> Any:
    """Return `{name: memit}` for `memit`, its short form; a mapping as it is, and None for anything else."""
    return {"name": value} if isinstance(value, str) else value if isinstance(value, Mapping) else None


def _file(path: Path) -> Layer:
    origins: dict[str, str] = {}
    return Layer(read_yaml(path, origins), origins)


def _find(source: str, named: Mapping[str, Path], beside: Path | None = None) -> Path:
    if source in named:
        return named[source]
    path = Path(source)
    for place in (path, *([beside / path] if beside else ())):
        if os.path.isfile(place):  # unlike Path.is_file, false also for a name that no file can have
            return Path(place)
    if path.suffix in YAML or "/" in source:
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        others = f"ready-made ones: {', '.join(named)}" if named else "give the path of a YAML file"
        raise ConfigError(f"config file {source!r} {what}; {_near(path)}{others}")
    if near := _near(path, stem=True):
        raise UnknownName(f"unknown config {source!r}: {near}ready-made: {', '.join(named)}")
    listing = f"ready-made: {', '.join(named)}; or give the path of a YAML file"
    raise unknown_name("config", source, named, listing)


def _near(path: Path, *, stem: bool = False) -> str:
    """A hint at the YAML file that a mistyped path may mean. stem: at one that it lacks the ending of, and no other."""
    try:
        found = [file for file in path.parent.iterdir() if file.suffix in YAML]
    except OSError:
        return ""
    same = [str(file) for file in found if file.stem == path.stem]
    return did_you_mean(str(path), same if stem else map(str, found), same, most=1)


def _with_base(layer: Layer, named: Mapping[str, Path], above: tuple[Path, ...]) -> Layer:
    """Lay a layer over what its `base` names: a ready-made config, or a file from here or from beside this one."""
    base = layer.tree.get("base")
    if base is None:
        return layer.without("base")
    where = at_origin(layer.origins, "base")
    if not isinstance(base, str):
        raise ConfigError(f"{where}`base` names a config, got {base!r}")
    path = _find(base, named, above[-1].parent if above else None)
    if path.resolve() in above:
        raise ConfigError(f"{where}base {base!r} leads back to itself: {' -> '.join(map(str, above))}")
    lower = _with_base(_file(path), named, (*above, path.resolve()))
    return lay_over(lower, layer.without("base"))


def _plain(value: Any, key: str, depth: int = 0) -> Any:
    """Return a mapping given in Python as plain values. Raises `ConfigError` for one that holds itself."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{key.partition('.')[0]}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        return {k: _plain(v, f"{key}.{k}" if key else str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{key}.{number}", depth + 1) for number, v in enumerate(value)]
    return str(value) if isinstance(value, Path) else value


def _stripped(places: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): where for key, where in places.items() if key.startswith(prefix)}


def _sets(tree: Any, key: str) -> bool:
    """Whether a tree says anything of a key path."""
    for part in key.split("."):
        if not isinstance(tree, Mapping):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True


def _clash(lower: Any, upper: Any, key: str = "") -> str:
    """Return the first key path where a mapping meets a list, else ''."""
    for part, value in upper.items() if isinstance(lower, Mapping) and isinstance(upper, Mapping) else ():
        full = f"{key}.{part}" if key else str(part)
        below = lower.get(part)
        if {type(below), type(value)} == {list, dict}:
            return full
        found = _clash(below, value, full)
        if found:
            return found
    return ""


def _first(cause: OmegaConfBaseException) -> str:
    """Return the key path that OmegaConf names, with dots for brackets."""
    return str(cause.full_key or cause.key or "").replace("[", ".").replace("]", "")


def _without_options(stages: list[Any], groups: Sequence[str]) -> list[Any]:
    """Stages without the options of groups that now name another component, up to where a stage names its own."""
    left, found = list(groups), []
    for stage in stages:
        if isinstance(stage, Mapping):
            left = [g for g in left if "name" not in (as_group(stage.get(g)) or {})]
            stage = {group: given for group, given in stage.items() if group not in left}
        found.append(stage)
    return found


def _stages_over(stages: list[Any], changes: Mapping[Any, Any]) -> list[Any]:
    """Stages under changes by number."""
    found = list(stages)
    for key, change in changes.items():
        number = int(key) if str(key).isdecimal() and len(str(key)) < 6 else -1
        if not 0 <= number < len(stages):
            raise ConfigError(f"then.{key}: `then` has {len(stages)} entries, numbered from 0")
        if not isinstance(change, Mapping) or not isinstance(stages[number], Mapping):
            raise ConfigError(
                f"then.{key} is a stage, a mapping of {', '.join(STAGE_GROUPS)}; got {change!r}"
            )
        found[number] = lay_over(Layer(stages[number]), Layer(change)).tree
    return found
