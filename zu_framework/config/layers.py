"""Plain trees: read from files, laid over one another, changed by overrides; where each key was set is noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from zu_framework.config.groups import COMPONENT_GROUPS, STAGE_GROUPS, Config
from zu_framework.errors import ConfigError, unknown_name


def ready_made(folder: str = "configs") -> dict[str, Path]:
    """The configurations inside a folder of the package, by name."""
    folder_path = Path(str(files("zu_framework") / folder))
    return {path.stem: path for path in sorted(folder_path.glob("*.yaml"))}


def read_tree(
    source: str | Path | Mapping[str, Any] | Config, named: Mapping[str, Path]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Name, plain tree and the origins of its keys, untyped, laid over what its `base` names.

    named: the ready-made configurations that `source` and `base` may name. Keys of list items have their number in
    the origins' paths.
    """
    origins: dict[str, str] = {}
    if isinstance(source, Config):
        return source.name, dict(source.tree), dict(source.origins)
    if isinstance(source, Mapping):
        return "config", _with_base(dict(source), origins, named), origins
    path = _find(str(source), named)
    return path.stem, _with_base(_read_yaml(path, origins), origins, named), origins


def overridden(tree: Mapping[str, Any], overrides: Sequence[str], origins: dict[str, str]) -> dict[str, Any]:
    """The tree under `key=value` overrides, which are noted in `origins`."""
    upper: dict[str, Any] = {}
    for (
        override
    ) in overrides:  # gathered first: `solver.name=` may come before or after that solver's options
        given = parse_override(override, origins)
        stages, changes = upper.get("then"), given.get("then")
        if isinstance(stages, list) and isinstance(changes, Mapping):
            given = {**given, "then": _stages_over(stages, changes)}
        upper = _merged(upper, given)
    return lay_over(tree, upper)


def _find(source: str, named: Mapping[str, Path]) -> Path:
    if source in named:
        return named[source]
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix in {".yaml", ".yml"} or "/" in source:
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"config file {source!r} {what}; ready-made ones: {', '.join(named)}")
    raise unknown_name(
        "config", source, named, f"ready-made: {', '.join(named)}; or give the path of a YAML file"
    )


def _read_yaml(path: Path, origins: dict[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path}: not UTF-8 text (byte {cause.start})") from cause
    except OSError as cause:
        raise ConfigError(f"{path}: cannot be read: {cause.strerror}") from cause
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}: not valid YAML: {getattr(cause, 'problem', None) or cause}"
        ) from cause
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}, line 1: a config is a mapping of groups, found {type(tree).__name__}")
    _lines(node, path, "", origins)
    return tree


def _lines(node: Any, path: Path, prefix: str, origins: dict[str, str]) -> None:
    """Record at which line each key stands."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            origins[f"{prefix}{number}"] = f"{path}, line {item.start_mark.line + 1}"
            _lines(item, path, f"{prefix}{number}.", origins)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        full = f"{prefix}{key.value}"
        if origins.get(full, "").startswith(f"{path}, "):
            raise ConfigError(f"{path}, line {key.start_mark.line + 1}: key {full!r} stands twice")
        origins[full] = f"{path}, line {key.start_mark.line + 1}"
        _lines(value, path, f"{full}.", origins)


def _with_base(tree: dict[str, Any], origins: dict[str, str], named: Mapping[str, Path]) -> dict[str, Any]:
    """Resolve `base: NAME`, the config that this one starts from."""
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{origins.get('base', 'base')}: `base` names a config, got {base!r}")
    lower_origins: dict[str, str] = {}
    lower = _read_yaml(_find(base, named), lower_origins)
    if "base" in lower:
        lower = _with_base(lower, lower_origins, named)
    for key, origin in lower_origins.items():
        origins.setdefault(key, origin)
    return lay_over(lower, tree)


def parse_override(override: str, origins: dict[str, str]) -> dict[str, Any]:
    """`a.b=value` as {a: {b: value}}, the value read as YAML; noted in `origins`."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"override {override!r}: write key=value, for example seed=1 or solver.name=zerounlearn-local"
        )
    key = key.strip()
    try:
        parsed = yaml.safe_load(value) if value.strip() else ""
    except yaml.YAMLError as cause:
        raise ConfigError(
            f"override {override!r}: the value is not valid YAML; quote it: '{key}=\"...\"'"
        ) from cause
    origins[key] = f"override {override!r}"
    tree: Any = parsed
    for part in reversed(key.split(".")):
        if not part:
            raise ConfigError(f"override {override!r}: empty part in key {key!r}")
        tree = {part: tree}
    return dict(tree)


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = _merged(below, value)
        merged[key] = value
    return merged


def lay_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """The lower tree under the upper one; a group that names another component loses the lower one's options."""
    kept = dict(lower)
    renamed = []
    for group in COMPONENT_GROUPS:
        old, new = as_group(kept.get(group)), as_group(upper.get(group))
        if old is None or new is None:
            continue
        if new.get("name", old.get("name")) != old.get("name"):
            renamed.append(group)
        kept[group] = {} if group in renamed else old
        upper = {**upper, group: new}
    stages, changes = kept.get("then"), upper.get("then")
    if isinstance(stages, list):
        kept["then"] = stages = _without_options(stages, renamed)
        if isinstance(changes, Mapping):  # `then.0.target.clamp=0.5`
            upper = {**upper, "then": _stages_over(stages, changes)}
    return _merged(kept, upper)


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
        number = int(key) if str(key).isdigit() else -1
        if not 0 <= number < len(stages):
            raise ConfigError(f"then.{key}: `then` has {len(stages)} entries, numbered from 0")
        if not isinstance(change, Mapping) or not isinstance(stages[number], Mapping):
            raise ConfigError(
                f"then.{key} is a stage, a mapping of {', '.join(STAGE_GROUPS)}; got {change!r}"
            )
        found[number] = lay_over(stages[number], change)
    return found


def as_group(value: Any) -> Any:
    """`solver: memit` is short for `solver: {name: memit}`."""
    return {"name": value} if isinstance(value, str) else value if isinstance(value, Mapping) else None
