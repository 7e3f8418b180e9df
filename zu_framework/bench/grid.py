"""A bench's config: a run config, and the lists that its grid spans; each cell is a run config of its own.

`models`, `datasets` and `methods` are lists of `{label: ..., <groups of a run config>}`, laid over what stands beside
them; `seeds` and `forget` are numbers. An override addresses an entry by its label:
`methods.MEMIT.solver.relative_ridge=0.1`; `methods=[MEMIT, ROME]` chooses among the entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from zu_framework.config import (
    Component,
    Config,
    lay_over,
    overridden,
    parse_override,
    read_tree,
    ready_made,
    structured,
    typed_config,
)
from zu_framework.errors import ConfigError, unknown_name

AXES = ("models", "datasets", "methods")
OWN = (*AXES, "seeds", "forget", "bench", "executor")
LABEL = re.compile(r"[^\W_][\w .,:+()*/-]*")


@dataclass
class BenchConfig:
    """What a bench shows, and where it lies."""

    folder: str = field(default="benches", metadata={"help": "folder that holds bench folders"})
    name: str | None = field(
        default=None,
        metadata={"help": "name of the bench's folder, where it is resumed; default: the config's name"},
    )
    title: str = field(default="", metadata={"help": "of the page and the tables"})
    metrics: list[str] = field(
        default_factory=list, metadata={"help": "columns of the table, in order; []: all that is measured"}
    )
    forgetting: str = field(
        default="efficacy", metadata={"help": "metric that the trade-off plot shows across"}
    )
    retention: str = field(
        default="specificity", metadata={"help": "metric that the trade-off plot shows upwards"}
    )


@dataclass(frozen=True)
class Cell:
    """One run of the grid. forget: facts to forget, None where the config leaves it to the data set."""

    model: str
    dataset: str
    method: str
    forget: int | None
    seed: int
    config: Config

    @property
    def block(self) -> tuple[str, str, int | None]:
        """What it shares with the cells that it is compared with: one table each."""
        return self.model, self.dataset, self.forget

    def __str__(self) -> str:
        facts = "" if self.forget is None else f", {self.forget} facts"
        return f"{self.model}, {self.dataset}{facts}, {self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Bench:
    """A whole grid. executor: as the config chose it; cells: those of one seed after those of another."""

    name: str
    config: BenchConfig
    executor: Component
    cells: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Where everything of this bench lies."""
        return Path(self.config.folder) / (self.config.name or self.name)


@dataclass(frozen=True)
class _Entry:
    """One item of an axis: what it lays over the common config, and where each key was set."""

    label: str
    tree: Mapping[str, Any]
    origins: Mapping[str, str]


def ready_made_benches() -> dict[str, Path]:
    """The bench configs inside the package, by name."""
    return ready_made("configs/bench")


def load_bench(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Bench:
    """Read a ready-made bench by name, a YAML file or a mapping; overrides are laid over it.

    Overrides of run keys (`model.path=...`) hold for all cells and lie under what the entries say.
    Raises `ConfigError` with file, line and key; components are not looked up yet.
    """
    benches = ready_made_benches()
    if isinstance(source, str | Path) and str(source) not in benches and str(source) in ready_made():
        raise ConfigError(
            f"{str(source)!r} is a run's config; a bench needs a grid: name it as `base` in a YAML file with "
            f"`methods`. Ready-made benches: {', '.join(benches)}"
        )
    if isinstance(source, str) and source not in benches and not _path_like(source):
        raise unknown_name("bench", source, benches, f"ready-made: {', '.join(benches)}; or give a YAML file")
    name, tree, origins = read_tree(source, {**ready_made(), **benches})
    own = {key: tree.pop(key) for key in OWN if key in tree}
    entries = {axis: _entries(axis, own.get(axis), origins) for axis in AXES}
    common: list[str] = []
    for override in overrides:
        key = override.partition("=")[0].strip()
        axis, _, rest = key.partition(".")
        if axis in AXES:
            entries[axis] = _overridden_entries(axis, rest, entries[axis], override, origins)
        elif axis in OWN:
            own = _own_override(own, override, origins)
        else:
            common.append(override)
    tree = overridden(tree, common, origins)
    for group, key in (("output", "folder"), ("output", "name")):
        if key in (tree.get(group) or {}):
            raise ConfigError(
                f"{group}.{key} names one run's folder; a bench has bench.folder and bench.name"
            )
    config = structured(BenchConfig, _mapping(own, "bench", origins), "bench", "group `bench`", origins)
    bench = Bench(name, config, _executor(own, origins), ())
    return replace(bench, cells=tuple(_cells(tree, origins, entries, own)))


def _path_like(source: str) -> bool:
    return "/" in source or source.endswith((".yaml", ".yml")) or Path(source).is_file()


def _entries(axis: str, given: Any, origins: Mapping[str, str], where: str = "") -> list[_Entry]:
    if given is None:
        return []
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"{where or _at(origins, axis)}`{axis}` is a list of {{label: ..., <groups>}}, got {given!r}"
        )
    found: list[_Entry] = []
    for number, item in enumerate(given):
        path = f"{axis}.{number}"
        at = where or _at(origins, path)
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
        for group in ("seed", "base", *OWN):
            if group in item:
                raise ConfigError(
                    f"{at}an entry of `{axis}` cannot set `{group}`: it belongs to the whole bench"
                )
        own = {k.removeprefix(f"{path}."): v for k, v in origins.items() if k.startswith(f"{path}.")}
        found.append(_Entry(label, {k: v for k, v in item.items() if k != "label"}, own))
    return found


def _overridden_entries(
    axis: str, rest: str, entries: list[_Entry], override: str, origins: dict[str, str]
) -> list[_Entry]:
    labels = [entry.label for entry in entries]
    if not rest:  # a choice among the entries, or a list of its own
        (value,) = parse_override(override, origins).values()
        if not isinstance(value, list) or any(isinstance(item, Mapping) for item in value):
            return _entries(axis, value, {}, f"override {override!r}: ")
        for label in value:
            if label not in labels:
                raise unknown_name(
                    axis.removesuffix("s"), str(label), labels, f"`{axis}` has: {', '.join(labels)}"
                )
        return [entry for label in dict.fromkeys(value) for entry in entries if entry.label == label]
    named = [label for label in labels if rest.startswith(f"{label}.")]
    if not named:
        close = get_close_matches(rest.partition(".")[0], labels, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"override {override!r}: {hint}write {axis}.LABEL.<key>=value with one of the labels {', '.join(labels)}"
        )
    label = max(named, key=len)
    noted: dict[str, str] = {}
    upper = parse_override(override.partition(f"{axis}.{label}.")[2], noted)
    noted = dict.fromkeys(noted, f"override {override!r}")
    return [
        _Entry(label, lay_over(entry.tree, upper), {**entry.origins, **noted})
        if entry.label == label
        else entry
        for entry in entries
    ]


def _own_override(own: Mapping[str, Any], override: str, origins: dict[str, str]) -> dict[str, Any]:
    ((key, value),) = parse_override(override, origins).items()
    below = own.get(key)
    if key == "executor":  # options belong to the executor that they were written for
        below, value = ({"name": v} if isinstance(v, str) else v for v in (below, value))
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            below = {} if value.get("name", below.get("name")) != below.get("name") else below
    both = isinstance(below, Mapping) and isinstance(value, Mapping)
    return {**own, key: {**below, **value} if both else value}  # type: ignore[dict-item]


def _executor(own: Mapping[str, Any], origins: Mapping[str, str]) -> Component:
    given = own.get("executor", "local")
    given = {"name": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError(
            f"{_at(origins, 'executor')}executor is {{name: ..., <its options>}}, got {given!r}"
        )
    return Component("executor", given["name"], {k: v for k, v in given.items() if k != "name"})


def _cells(
    tree: Mapping[str, Any],
    origins: Mapping[str, str],
    entries: Mapping[str, Sequence[_Entry]],
    own: Mapping[str, Any],
) -> Iterator[Cell]:
    """The cells, the seeds innermost: workers side by side then rarely wait for one another's target states."""
    seeds, sizes = _seeds(own, origins), _sizes(own, origins)
    model = Path(str((tree.get("model") or {}).get("path", ""))).name or "model"
    axes = {
        "models": list(entries["models"]) or [_Entry(model, {}, {})],
        "datasets": list(entries["datasets"]) or [_Entry(_named(tree, "data"), {}, {})],
        "methods": list(entries["methods"]) or [_Entry(_named(tree, "solver"), {}, {})],
    }
    # a cell is read by its numbers: a page and an undo record of each would cost more than they tell
    below = {"output": {"share_targets": True, "undo": False, "report": False}}
    for model_entry, dataset, forget, method in product(
        axes["models"], axes["datasets"], sizes, axes["methods"]
    ):
        laid, noted = lay_over(below, tree), dict(origins)
        for entry in (model_entry, dataset, method):
            laid, noted = lay_over(laid, entry.tree), {**noted, **entry.origins}
        if forget is not None:
            laid = lay_over(laid, {"data": {"forget": forget}})
        for seed in seeds:
            where = f"{model_entry.label}, {dataset.label}, {method.label}"
            try:
                config = typed_config(method.label, {**laid, "seed": seed}, noted)
            except ConfigError as cause:
                raise ConfigError(f"bench cell {where}: {cause}") from cause
            yield Cell(model_entry.label, dataset.label, method.label, forget, seed, config)


def _named(tree: Mapping[str, Any], group: str) -> str:
    value = tree.get(group)
    name = value.get("name") if isinstance(value, Mapping) else value
    return str(name or group)


def _seeds(own: Mapping[str, Any], origins: Mapping[str, str]) -> list[int]:
    given = own.get("seeds", 1)
    seeds = list(range(given)) if _whole(given) else given
    if not isinstance(seeds, list) or not seeds or not all(_whole(seed) for seed in seeds):
        raise ConfigError(
            f"{_at(origins, 'seeds')}seeds is how many (0, 1, ...), or a list of whole numbers >= 0, got {given!r}"
        )
    return list(dict.fromkeys(seeds))


def _sizes(own: Mapping[str, Any], origins: Mapping[str, str]) -> list[int | None]:
    given = own.get("forget")
    if given is None:
        return [None]
    sizes = given if isinstance(given, list) else [given]
    if not sizes or not all(_whole(size) for size in sizes):
        raise ConfigError(
            f"{_at(origins, 'forget')}forget is a number of facts or a list of them (0: all), got {given!r}"
        )
    return list(dict.fromkeys(sizes))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(own: Mapping[str, Any], group: str, origins: Mapping[str, str]) -> Mapping[str, Any]:
    value = own.get(group) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{_at(origins, group)}group `{group}` is a mapping of keys, got {value!r}")
    return value


def _at(origins: Mapping[str, str], key: str) -> str:
    return f"{origins[key]}: " if key in origins else ""
