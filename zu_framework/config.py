"""Configuration: a ready-made name, a YAML file or a mapping, plus `key=value` overrides, into typed groups.

`model`, `evaluate`, `output`, `report` and `seed` are typed here. Each component group (`data`, `locator`, `collector`,
`background`, `target`, `solver`) is `{name: ..., <options>}`; its options are the dataclass of the component that
`name` chooses, so that they are checked once the registry is known (`options_from`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from zu_framework.errors import ConfigError, in_stage, unknown_name
from zu_framework.specs import Spec

# group of the config -> kind of component
COMPONENT_GROUPS: Mapping[str, str] = {
    "data": "dataset",
    "locator": "locator",
    "collector": "collector",
    "background": "background",
    "target": "target",
    "solver": "solver",
}
# what an entry of `then` may change: a further stage reads the same model, data and general text
STAGE_GROUPS = ("locator", "collector", "target", "solver")


@dataclass
class ModelConfig:
    """Which model, and how it is loaded."""

    path: str = field(default="", metadata={"help": "folder of a Hugging Face checkpoint, or a hub id"})
    dtype: str = field(
        default="auto", metadata={"help": "auto (the checkpoint's own), float32, bfloat16 or float16"}
    )
    device: str = field(
        default="auto", metadata={"help": "auto (cuda where there is one), cpu, cuda, cuda:1 ..."}
    )
    device_map: Any = field(
        default=None,
        metadata={
            "help": "spread the layers over devices by accelerate (its extra): auto, balanced, sequential, or a "
            "mapping of module names to devices; model.device is not read then"
        },
    )
    revision: str | None = field(default=None, metadata={"help": "branch, tag or commit of a hub id"})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run code that the checkpoint brings along"}
    )
    batch_size: int = field(default=64, metadata={"help": "rows that one forward pass may hold"})
    chat: bool = field(
        default=False,
        metadata={"help": "for instruct models: prompts are read in the tokenizer's chat template"},
    )
    system: str = field(default="", metadata={"help": "with chat: the system prompt, none where empty"})
    batch_tokens: int = field(
        default=8192,
        metadata={"help": "tokens, padding included, that one forward pass over background text may hold"},
    )


@dataclass
class EvaluateConfig:
    """What is measured before and after."""

    metrics: list[str] = field(
        default_factory=lambda: [
            "efficacy",
            "generalization",
            "specificity",
            "retained",
            "answer_probability",
            "perplexity",
        ],
        metadata={"help": "names of metrics, in the table's order; [] measures nothing"},
    )
    options: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "options of single metrics: evaluate.options.NAME.OPTION, such as mia_min_k.k"},
    )
    reference: str | None = field(
        default=None,
        metadata={
            "help": "a model retrained without the forget facts (folder, hub id, zu:demo-twin), for the metrics that "
            "compare with one; loaded as `model` is, once"
        },
    )
    text: str | None = field(
        default=None,
        metadata={
            "help": "text file for perplexity, one document a line; without it the data set's held-out text, "
            "and where it has none every tenth document of the background, which is then kept out of the moments"
        },
    )
    text_label: str = field(
        default="", metadata={"help": "what a reader must know of that text, shown in the table"}
    )
    documents: int = field(default=200, metadata={"help": "documents of that text that are read at most"})
    max_tokens: int = field(default=256, metadata={"help": "tokens a document is cut into windows of"})
    completions: int = field(default=3, metadata={"help": "facts whose completion is shown before and after"})


@dataclass
class OutputConfig:
    """What the run leaves behind."""

    folder: str = field(default="runs", metadata={"help": "folder that holds run folders"})
    name: str | None = field(
        default=None, metadata={"help": "name of the run folder; default: config and time"}
    )
    undo: bool = field(
        default=True, metadata={"help": "keep the original tensors (without them revert is not exact)"}
    )
    intermediates: bool = field(default=False, metadata={"help": "write sites/<site>.safetensors"})
    model: bool = field(
        default=False, metadata={"help": "write model/, a checkpoint that from_pretrained loads"}
    )
    adapter: bool = field(
        default=False, metadata={"help": "write adapter/, a PEFT LoRA adapter, where it is exact"}
    )
    share_targets: bool = field(
        default=False,
        metadata={"help": "keep target states in the cache, for runs that need the same (a bench does)"},
    )
    report: bool = field(
        default=True, metadata={"help": "write report.html; the group `report` bounds what it costs"}
    )


@dataclass
class ReportConfig:
    """How much is looked at for the page of a run, before and after: the bounds of its cost."""

    facts: int = field(
        default=500,
        metadata={"help": "facts of each set (forget, retain) in the page's table, evenly spaced among more"},
    )
    completions: int = field(
        default=20, metadata={"help": "of those, how many of each set are completed, before and after"}
    )
    prompts: int = field(
        default=64, metadata={"help": "of those, how many of each set are read for states and logit lens"}
    )
    sites: int = field(
        default=4,
        metadata={
            "help": "sites whose outputs are drawn, and edited weights whose singular values are taken"
        },
    )


@dataclass(frozen=True)
class Component:
    """One component group as written: the name, its options, and core options taken out of them."""

    group: str
    name: str
    options: Mapping[str, Any]
    group_size: int | None = None


@dataclass(frozen=True)
class Config:
    """A whole configuration, its core groups checked; `tree` is the plain mapping it came from.

    then: further stages, each a whole configuration of its own: an entry of `then` laid over the stage before it.
    """

    name: str
    model: ModelConfig
    evaluate: EvaluateConfig
    output: OutputConfig
    report: ReportConfig
    seed: int
    components: Mapping[str, Component]
    tree: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    then: tuple[Config, ...] = ()

    def origin(self, key: str) -> str:
        """Where a key was set: 'FILE, line N' or an override; '' when it is a default."""
        return self.origins.get(key, "")

    def to_yaml(self) -> str:
        """The tree as YAML."""
        text: str = yaml.safe_dump(dict(self.tree), sort_keys=False, allow_unicode=True)
        return text


def ready_made(folder: str = "configs") -> dict[str, Path]:
    """The configurations inside a folder of the package, by name."""
    folder_path = Path(str(files("zu_framework") / folder))
    return {path.stem: path for path in sorted(folder_path.glob("*.yaml"))}


def load_config(source: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str] = ()) -> Config:
    """Read a ready-made config by name, a YAML file, or a mapping, and lay `key=value` overrides over it.

    A layer that chooses another component for a group drops the options that lower layers gave that group: they
    belonged to the other component. Raises `ConfigError` with file, line and key.
    """
    name, tree, origins = read_tree(source, ready_made())
    return typed_config(name, overridden(tree, overrides, origins), origins)


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


def options_from(spec: Spec, given: Mapping[str, Any], *, where: str, config: Config | None = None) -> Any:
    """The options dataclass of a component, merged by OmegaConf from plain values.

    where: the config group, for messages (`solver.forget_weight`). Raises `ConfigError` for an unknown key (with close
    matches), a wrong type, or whatever the dataclass itself refuses.
    """
    return structured(
        spec.options, given, where, f"{spec.kind} {spec.name!r}", config.origins if config else {}
    )


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
    for group in COMPONENT_GROUPS:
        old, new = _as_group(kept.get(group)), _as_group(upper.get(group))
        if old is None or new is None:
            continue
        kept[group] = {} if new.get("name", old.get("name")) != old.get("name") else old
        upper = {**upper, group: new}
    stages, changes = kept.get("then"), upper.get("then")
    if isinstance(stages, list) and not isinstance(changes, list):
        renamed = [
            group
            for group in STAGE_GROUPS
            if (_as_group(lower.get(group)) or {}).get("name")
            != (_as_group(upper.get(group)) or {}).get("name")
            and "name" in (_as_group(upper.get(group)) or {})
        ]
        kept["then"] = stages = _without_options(stages, renamed)
        if isinstance(changes, Mapping):  # `then.0.target.clamp=0.5`
            upper = {**upper, "then": _stages_over(stages, changes)}
    return _merged(kept, upper)


def _without_options(stages: list[Any], groups: Sequence[str]) -> list[Any]:
    """Stages without the options of groups that now name another component, up to where a stage names its own."""
    left, found = list(groups), []
    for stage in stages:
        if isinstance(stage, Mapping):
            left = [g for g in left if "name" not in (_as_group(stage.get(g)) or {})]
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


def _as_group(value: Any) -> Any:
    """`solver: memit` is short for `solver: {name: memit}`."""
    return {"name": value} if isinstance(value, str) else value if isinstance(value, Mapping) else None


def typed_config(name: str, tree: dict[str, Any], origins: Mapping[str, str]) -> Config:
    """Check groups and types of a plain tree. Raises `ConfigError` with the key, and where it was set."""

    def group(options: type[Any], name: str) -> Any:
        return structured(options, _mapping(tree, name, origins), name, f"group `{name}`", origins)

    known = {"model", "evaluate", "output", "report", "seed", "then", *COMPONENT_GROUPS}
    for key in tree:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            listing = ", ".join(sorted(known))
            raise ConfigError(f"{_at(origins, str(key))}unknown group {key!r}: {hint}groups: {listing}")
    seed = tree.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"{_at(origins, 'seed')}seed must be a whole number >= 0, got {seed!r}")
    components = {
        key: _component(key, tree[key], origins) for key in COMPONENT_GROUPS if tree.get(key) is not None
    }
    config = Config(
        name=name,
        model=group(ModelConfig, "model"),
        evaluate=group(EvaluateConfig, "evaluate"),
        output=group(OutputConfig, "output"),
        report=group(ReportConfig, "report"),
        seed=seed,
        components=components,
        tree=tree,
        origins=origins,
        then=_stages(name, tree, origins),
    )
    if config.model.system and not config.model.chat:
        raise ConfigError(f"{_at(origins, 'model.system')}model.system is read with model.chat=true alone")
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
            raise ConfigError(f"{_at(origins, key)}{key} must be at least {least}, got {value}")
    return config


def _stages(name: str, tree: Mapping[str, Any], origins: Mapping[str, str]) -> tuple[Config, ...]:
    """The entries of `then`, each laid over the stage before it and typed."""
    entries = tree.get("then")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        at = next((key for key in origins if key == "then" or key.startswith("then.")), "then")
        raise ConfigError(
            f"{_at(origins, at)}`then` is a list of stages, got {entries!r}: give it whole, "
            "then=[{...}], before a key such as then.0.target.clamp changes it"
        )
    laid = {key: value for key, value in tree.items() if key != "then"}
    stages = []
    for number, entry in enumerate(entries):
        at = f"then.{number}"
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(
                f"{_at(origins, at)}{at} is a stage, a mapping of {', '.join(STAGE_GROUPS)}; got {entry!r}"
            )
        other = next((key for key in entry if key not in STAGE_GROUPS), None)
        if other is not None:
            raise ConfigError(
                f"{_at(origins, f'{at}.{other}')}{at}.{other}: a stage may change {', '.join(STAGE_GROUPS)}"
            )
        laid = lay_over(laid, entry)
        # what is refused in this stage is refused where this stage set it
        prefix = f"{at}."
        own = {k.removeprefix(prefix): where for k, where in origins.items() if k.startswith(prefix)}
        origins = {**origins, **own}
        with in_stage(number + 1):
            stages.append(typed_config(name, laid, origins))
    return tuple(stages)


def _mapping(tree: Mapping[str, Any], group: str, origins: Mapping[str, str]) -> Mapping[str, Any]:
    value = tree.get(group)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{_at(origins, group)}group {group!r} is a mapping of keys, got {value!r}")
    return value


def _component(group: str, value: Any, origins: Mapping[str, str]) -> Component:
    value = _as_group(value) or value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ConfigError(
            f"{_at(origins, group)}group {group!r} needs a `name`: {group}: {{name: ..., <its options>}}; "
            f"got {value!r}"
        )
    options = {str(k): v for k, v in value.items() if k != "name"}
    group_size = options.pop("group_size", None) if group == "solver" else None
    if group_size is not None and (
        not isinstance(group_size, int) or isinstance(group_size, bool) or group_size < 0
    ):
        raise ConfigError(
            f"{_at(origins, 'solver.group_size')}solver.group_size is the number of requests a pass takes "
            f"(0: all), got {group_size!r}"
        )
    return Component(group, value["name"], options, group_size)


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
            raise ConfigError(f"{_at(origins, f'{where}.{key}')}unknown key '{where}.{key}': {hint}{listing}")
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
            raise ConfigError(f"{_at(origins, full)}'{full}' cannot be {value!r}: {reason}") from cause
        _no_word_read_as_truth(value, getattr(base, str(key)), f"{_at(origins, full)}'{full}'")
    try:
        return OmegaConf.to_object(base)
    except ConfigError as cause:  # an options dataclass refused a value in its __post_init__
        at = next((_at(origins, f"{where}.{k}") for k in given if k in str(cause)), "")
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


def _at(origins: Mapping[str, str], key: str) -> str:
    """'FILE, line N: ' of a key, or of the nearest group above it; '' for values given in Python."""
    while key:
        if key in origins:
            return f"{origins[key]}: "
        key = key.rpartition(".")[0]
    return ""
