"""A bench's config: a run config, and the lists that its grid spans; each cell is a run config of its own.

`models`, `datasets` and `methods` are lists of `{label: ..., <groups of a run config>}`, laid over what stands beside
them; `seeds` and `forget` are numbers. An override addresses an entry by its label:
`methods.MEMIT.solver.relative_ridge=0.1`; `methods=[MEMIT, ROME]` chooses among the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from zu_framework.benches.axes import AXES, OWN, Entry, entries_of, overridden_entries, refuse_mistyped
from zu_framework.config import (
    Component,
    Config,
    Layer,
    at_origin,
    lay_over,
    overridden,
    parse_override,
    read_layer,
    ready_made,
    structured,
    typed_config,
)
from zu_framework.errors import ConfigError, unknown_name
from zu_framework.files import FOLDER_NAME
from zu_framework.registry import Plugins


@dataclass
class BenchConfig:
    """What a bench shows, and where it lies."""

    folder: str = field(default="benches", metadata={"help": "folder that holds bench folders", "path": True})
    name: str | None = field(
        default=None,
        metadata={"help": "name of the bench's folder, where it is resumed; default: the config's name"},
    )
    title: str = field(default="", metadata={"help": "of the page and the tables"})
    metrics: list[str] = field(
        default_factory=list, metadata={"help": "columns of the table, in order; []: all that is measured"}
    )
    audits: list[str] = field(
        default_factory=list,
        metadata={
            "help": "attacks made on every cell's edit; each adds its recovered shares as columns audit/VARIANT"
        },
    )
    forgetting: str = field(
        default="",
        metadata={
            "help": "metric that the trade-off plot shows across; default: the first that tells of forgetting"
        },
    )
    retention: str = field(
        default="",
        metadata={
            "help": "metric that the trade-off plot shows upwards; default: the first that tells of damage"
        },
    )

    def __post_init__(self) -> None:
        if self.name is not None and not FOLDER_NAME.fullmatch(self.name):
            raise ConfigError(
                f"name {self.name!r}: use letters, digits, '.', '-' and '_' (no path separators); bench.folder says "
                "where it lies"
            )


# model, data set and number of facts
Block = tuple[str, str, int | str | None]


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Args:
        model: Label of the entry of `models`.
        dataset: Label of the entry of `datasets`.
        method: Label of the entry of `methods`.
        forget: Facts to forget, or "all"; None where the config leaves it to the data set.
        seed: Decides every draw.
        config: The whole run config.
    """

    model: str
    dataset: str
    method: str
    forget: int | str | None
    seed: int
    config: Config

    @property
    def block(self) -> Block:
        """What it shares with the cells that it is compared with: one table each."""
        return self.model, self.dataset, self.forget

    def __str__(self) -> str:
        facts = "" if self.forget is None else f", {self.forget} facts"
        return f"{self.model}, {self.dataset}{facts}, {self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Bench:
    """A whole grid.

    Args:
        name: The config's.
        config: What it shows, and where it lies.
        executor: As the config chose it.
        cells: The seeds innermost.
    """

    name: str
    config: BenchConfig
    executor: Component
    cells: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        """Where everything of this bench lies."""
        return Path(self.config.folder) / (self.config.name or self.name)


def ready_made_benches() -> dict[str, Path]:
    """Return the bench configs inside the package, by name."""
    return ready_made("configs/bench")


def load_bench(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, plugins: Plugins | None = None
) -> Bench:
    """Return a bench with the config of each cell; components are not looked up yet.

    Args:
        source: A ready-made bench by name, a YAML file or a mapping.
        overrides: Those of run keys (`model.path=...`) hold for all cells and lie under what the entries say.
        plugins: Where the options of components are looked up; by default, what is installed.

    Raises:
        ConfigError: A key is unknown, mistyped or out of place; file, line and key are named.
        UnknownName: No ready-made bench has that name.
    """
    benches = ready_made_benches()
    if isinstance(source, str | Path) and str(source) not in benches and str(source) in ready_made():
        raise ConfigError(
            f"{str(source)!r} is a run's config; a bench needs a grid: name it as `base` in a YAML file with "
            f"`methods`. Ready-made benches: {', '.join(benches)}"
        )
    if isinstance(source, str) and source not in benches and not _path_like(source):
        raise unknown_name("bench", source, benches, f"ready-made: {', '.join(benches)}; or give a YAML file")
    name, layer = read_layer(source, {**ready_made(), **benches})
    entries = {axis: entries_of(axis, layer) for axis in AXES}
    own, common = layer.only(OWN), layer.without(*OWN)
    changes: list[str] = []
    for override in overrides:
        key = override.partition("=")[0].strip()
        axis, _, rest = key.partition(".")
        if axis in AXES:
            entries[axis] = overridden_entries(axis, rest, entries[axis], override)
        elif axis in OWN:
            own = _own_override(own, override)
        else:
            changes.append(override)
    common = overridden(common, changes)
    refuse_mistyped(common)
    for group, key in (("output", "folder"), ("output", "name")):
        if key in (common.tree.get(group) or {}):
            raise ConfigError(
                f"{group}.{key} names one run's folder; a bench has bench.folder and bench.name"
            )
    given = _mapping(own, "bench")
    config = structured(BenchConfig, given, "bench", "group `bench`", own.origins)
    bench = Bench(name, config, _executor(own), ())
    return replace(bench, cells=tuple(_cells(common, entries, own, plugins)))


def _path_like(source: str) -> bool:
    return "/" in source or source.endswith((".yaml", ".yml")) or Path(source).is_file()


def _own_override(own: Layer, override: str) -> Layer:
    given = parse_override(override)
    below, value = own.tree.get("executor"), given.tree.get("executor")
    if value is not None:  # options belong to the executor that they were written for
        below, value = ({"name": v} if isinstance(v, str) else v for v in (below, value))
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            below = {} if value.get("name", below.get("name")) != below.get("name") else below
        own = replace(own, tree={**own.tree, "executor": below or {}})
        given = replace(given, tree={"executor": value})
    return lay_over(own, given)


def _executor(own: Layer) -> Component:
    given = own.tree.get("executor", "local")
    given = {"name": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError(
            f"{at_origin(own.origins, 'executor')}executor is {{name: ..., <its options>}}, got {given!r}"
        )
    return Component("executor", given["name"], {k: v for k, v in given.items() if k != "name"})


def _cells(
    common: Layer, entries: Mapping[str, Sequence[Entry]], own: Layer, plugins: Plugins | None
) -> Iterator[Cell]:
    """Yield the cells, the seeds innermost: workers side by side then rarely wait for one another's target states."""
    seeds, sizes = _seeds(own), _sizes(own)
    model = Path(str((common.tree.get("model") or {}).get("path", ""))).name or "model"
    axes = {
        "models": list(entries["models"]) or [Entry(model, Layer({}))],
        "datasets": list(entries["datasets"]) or [Entry(_named(common, "data"), Layer({}))],
        "methods": list(entries["methods"]) or [Entry(_named(common, "solver"), Layer({}))],
    }
    # a cell is read by its numbers: a page and an undo record of each would cost more than they tell
    below = Layer({"output": {"share_targets": True, "undo": False, "report": False}})
    for model_entry, dataset, forget, method in product(
        axes["models"], axes["datasets"], sizes, axes["methods"]
    ):
        laid = lay_over(below, common)
        for entry in (model_entry, dataset, method):
            laid = lay_over(laid, entry.layer)
        if forget is not None:
            laid = lay_over(laid, Layer({"data": {"forget": forget}}))
        where = f"{model_entry.label}, {dataset.label}, {method.label}"
        try:
            config = typed_config(method.label, laid, plugins=plugins)
        except ConfigError as cause:
            raise ConfigError(f"bench cell {where}: {cause}") from cause
        for seed in seeds:
            yield Cell(model_entry.label, dataset.label, method.label, forget, seed, config.seeded(seed))


def _named(layer: Layer, group: str) -> str:
    value = layer.tree.get(group)
    name = value.get("name") if isinstance(value, Mapping) else value
    return str(name or group)


def _seeds(own: Layer) -> list[int]:
    given = own.tree.get("seeds", 1)
    seeds = list(range(given)) if _whole(given) else given
    if not isinstance(seeds, list) or not seeds or not all(_whole(seed) for seed in seeds):
        raise ConfigError(
            f"{at_origin(own.origins, 'seeds')}seeds is how many (0, 1, ...), or a list of whole numbers >= 0, "
            f"got {given!r}"
        )
    return list(dict.fromkeys(seeds))


def _sizes(own: Layer) -> list[int | str | None]:
    given = own.tree.get("forget")
    if given is None:
        return [None]
    sizes = given if isinstance(given, list) else [given]
    if not sizes or not all(size == "all" or (_whole(size) and size) for size in sizes):
        raise ConfigError(
            f"{at_origin(own.origins, 'forget')}forget is a number of facts, all, or a list of these, got {given!r}"
        )
    return list(dict.fromkeys(sizes))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(own: Layer, group: str) -> Mapping[str, Any]:
    value = own.tree.get(group) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{at_origin(own.origins, group)}group `{group}` is a mapping of keys, got {value!r}"
        )
    return value
