"""From a plain tree to typed groups: what is unknown or wrong is refused with its key, and where it was set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from zu_framework.config.groups import (
    COMPONENT_GROUPS,
    SHARED_GROUPS,
    STAGE_GROUPS,
    Component,
    Config,
    EvaluateConfig,
    LedgerConfig,
    ModelConfig,
    OutputConfig,
    ReportConfig,
    StageConfig,
)
from zu_framework.config.layers import as_group, lay_over, overridden, read_tree, ready_made
from zu_framework.errors import ConfigError, in_stage
from zu_framework.specs import Spec

# options of a component group that are the core's, whichever component it names: group, key, least value, meaning
CORE_OPTIONS = (
    ("solver", "group_size", 0, "the number of requests a pass takes (0: all)"),
    ("background", "max_tokens", 1, "the number of tokens of a document that are read at most"),
)


def load_config(source: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str] = ()) -> Config:
    """Read a ready-made config by name, a YAML file, or a mapping, and lay `key=value` overrides over it.

    A layer that chooses another component for a group drops the options that lower layers gave that group: they
    belonged to the other component. Raises `ConfigError` with file, line and key.
    """
    name, tree, origins = read_tree(source, ready_made())
    return typed_config(name, overridden(tree, overrides, origins), origins)


def options_from(
    spec: Spec, given: Mapping[str, Any], *, where: str, origins: Mapping[str, str] | None = None
) -> Any:
    """Return the options dataclass of a component, merged by OmegaConf from plain values.

    Args:
        given: The options as written.
        where: The config group, for messages (`solver.forget_weight`).
        origins: Where each key was set, for messages.

    Raises:
        ConfigError: An unknown key (with close matches), a wrong type, or whatever the dataclass itself refuses.
    """
    return structured(spec.options, given, where, f"{spec.kind} {spec.name!r}", origins or {})


def typed_config(name: str, tree: dict[str, Any], origins: Mapping[str, str]) -> Config:
    """Check groups and types of a plain tree. Raises `ConfigError` with the key, and where it was set."""

    def group(options: type[Any], name: str) -> Any:
        return structured(options, _mapping(tree, name, origins), name, f"group `{name}`", origins)

    known = {"model", "evaluate", "output", "report", "ledger", "seed", "then", *COMPONENT_GROUPS}
    for key in tree:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            listing = ", ".join(sorted(known))
            raise ConfigError(f"{at_origin(origins, str(key))}unknown group {key!r}: {hint}groups: {listing}")
    seed = tree.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"{at_origin(origins, 'seed')}seed must be a whole number >= 0, got {seed!r}")
    config = Config(
        name=name,
        model=group(ModelConfig, "model"),
        evaluate=group(EvaluateConfig, "evaluate"),
        output=group(OutputConfig, "output"),
        report=group(ReportConfig, "report"),
        ledger=group(LedgerConfig, "ledger"),
        seed=seed,
        components=_components(SHARED_GROUPS, tree, origins),
        stages=_stages(tree, origins),
        tree=tree,
        origins=origins,
    )
    if config.model.system and not config.model.chat:
        raise ConfigError(
            f"{at_origin(origins, 'model.system')}model.system is read with model.chat=true alone"
        )
    for key, value, least in (
        ("model.batch_size", config.model.batch_size, 1),
        ("model.batch_tokens", config.model.batch_tokens, 1),
        ("evaluate.documents", config.evaluate.documents, 1),
        ("evaluate.max_tokens", config.evaluate.max_tokens, 2),
        ("evaluate.completions", config.evaluate.completions, 0),
        ("report.facts", config.report.facts, 0),
        ("report.completions", config.report.completions, 0),
        ("report.prompts", config.report.prompts, 0),
        ("report.sites", config.report.sites, 0),
    ):
        if value < least:
            raise ConfigError(f"{at_origin(origins, key)}{key} must be at least {least}, got {value}")
    return config


def _stages(tree: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[StageConfig, ...]:
    """Return the stages: what stands at the top, and each entry of `then` laid over the stage before it."""
    stages = [StageConfig(0, _components(STAGE_GROUPS, tree, origins), origins)]
    laid = {group: tree[group] for group in STAGE_GROUPS if group in tree}
    for number, entry in enumerate(_entries(tree, origins)):
        at = f"then.{number}"
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(
                f"{at_origin(origins, at)}{at} is a stage, a mapping of {', '.join(STAGE_GROUPS)}; got {entry!r}"
            )
        other = next((key for key in entry if key not in STAGE_GROUPS), None)
        if other is not None:
            raise ConfigError(
                f"{at_origin(origins, f'{at}.{other}')}{at}.{other}: a stage may change {', '.join(STAGE_GROUPS)}"
            )
        laid = lay_over(laid, entry)
        # what is refused in this stage is refused where this stage set it
        prefix = f"{at}."
        own = {k.removeprefix(prefix): where for k, where in origins.items() if k.startswith(prefix)}
        origins = {**origins, **own}
        with in_stage(number + 1):
            stages.append(StageConfig(number + 1, _components(STAGE_GROUPS, laid, origins), origins))
    return tuple(stages)


def _entries(tree: Mapping[str, Any], origins: Mapping[str, str]) -> list[Any]:
    """Return the entries of `then`, unchecked."""
    entries = tree.get("then")
    if entries is None:
        return []
    if not isinstance(entries, list):
        at = next((key for key in origins if key == "then" or key.startswith("then.")), "then")
        raise ConfigError(
            f"{at_origin(origins, at)}`then` is a list of stages, got {entries!r}: give it whole, "
            "then=[{...}], before a key such as then.0.target.clamp changes it"
        )
    return entries


def _mapping(tree: Mapping[str, Any], group: str, origins: Mapping[str, str]) -> Mapping[str, Any]:
    value = tree.get(group)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{at_origin(origins, group)}group {group!r} is a mapping of keys, got {value!r}")
    return value


def _components(
    groups: Sequence[str], tree: Mapping[str, Any], origins: Mapping[str, str]
) -> dict[str, Component]:
    """Return the components of those groups that the tree names."""
    return {group: _component(group, tree[group], origins) for group in groups if tree.get(group) is not None}


def _component(group: str, value: Any, origins: Mapping[str, str]) -> Component:
    value = as_group(value) or value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ConfigError(
            f"{at_origin(origins, group)}group {group!r} needs a `name`: {group}: {{name: ..., <its options>}}; "
            f"got {value!r}"
        )
    options = {str(k): v for k, v in value.items() if k != "name"}
    core: dict[str, int] = {}
    for owner, key, least, meaning in CORE_OPTIONS:
        given = options.pop(key, None) if owner == group else None
        if given is None:
            continue
        if not isinstance(given, int) or isinstance(given, bool) or given < least:
            raise ConfigError(
                f"{at_origin(origins, f'{group}.{key}')}{group}.{key} is {meaning}, got {given!r}"
            )
        core[key] = given
    return Component(group, value["name"], options, **core)


def structured(
    options: type[Any], given: Mapping[str, Any], where: str, owner: str, origins: Mapping[str, str]
) -> Any:
    """An options dataclass from plain values. where: its group; owner: what to call it in messages."""
    names = [f.name for f in fields(options)]
    for key in given:
        if key not in names:
            close = get_close_matches(str(key), names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            listing = f"{owner} has: {', '.join(names)}" if names else f"{owner} has no options"
            raise ConfigError(
                f"{at_origin(origins, f'{where}.{key}')}unknown key '{where}.{key}': {hint}{listing}"
            )
    base = OmegaConf.structured(options)
    for key, value in given.items():  # one key at a time, so that a message names the right one
        full = f"{where}.{key}"
        try:
            layer = OmegaConf.create({key: value})
            assert isinstance(layer, DictConfig)
            OmegaConf.resolve(layer)
            base = OmegaConf.merge(base, layer)
        except (OmegaConfBaseException, ValueError) as cause:
            reason = str(cause).splitlines()[0]
            if isinstance(cause, ConfigKeyError):
                reason = f"unknown key: {reason}"
            raise ConfigError(f"{at_origin(origins, full)}'{full}' cannot be {value!r}: {reason}") from cause
        _no_word_read_as_truth(value, getattr(base, str(key)), f"{at_origin(origins, full)}'{full}'")
    try:
        return OmegaConf.to_object(base)
    except ConfigError as cause:  # an options dataclass refused a value in its __post_init__
        at = next((at_origin(origins, f"{where}.{k}") for k in given if k in str(cause)), "")
        raise ConfigError(f"{at}{owner}: {cause}") from cause
    except OmegaConfBaseException as cause:
        if isinstance(cause.__cause__, ConfigError):
            raise ConfigError(f"{owner}: {cause.__cause__}") from cause
        raise ConfigError(f"{owner}: {str(cause).splitlines()[0]}") from cause


def _no_word_read_as_truth(given: Any, merged: Any, where: str) -> None:
    """YAML reads an unquoted On, No or Yes as true or false; where a text is wanted, that is not what was meant."""
    pairs = zip(given, merged, strict=False) if isinstance(given, list) else [(given, merged)]
    for value, kept in pairs:
        if isinstance(value, bool) and isinstance(kept, str):
            raise ConfigError(
                f"{where} wants text, and YAML reads an unquoted yes, no, on or off as {value}: quote it"
            )


def at_origin(origins: Mapping[str, str], key: str) -> str:
    """'FILE, line N: ' of a key, or of the nearest group above it; '' for values given in Python."""
    while key:
        if key in origins:
            return f"{origins[key]}: "
        key = key.rpartition(".")[0]
    return ""
