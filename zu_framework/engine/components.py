"""From a configuration to the components it names: specs found, options typed, implementations imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zu_framework.config import COMPONENT_GROUPS, Config, options_from
from zu_framework.engine.plugins import Plugins
from zu_framework.engine.registry import Registered
from zu_framework.errors import ConfigError
from zu_framework.specs import MetricSpec, ModelSolverSpec, SolverSpec, TargetSpec


@dataclass(frozen=True)
class Chosen:
    """One component that the configuration chose, with its typed options."""

    registered: Registered
    options: Any

    @property
    def spec(self) -> Any:
        """Its registration."""
        return self.registered.spec

    def load(self) -> Any:
        """Its implementation."""
        return self.registered.load()


@dataclass(frozen=True)
class Parts:
    """The components of a run, by config group, and the metrics in the table's order."""

    chosen: Mapping[str, Chosen]
    metrics: tuple[Registered, ...]
    group_size: int

    def __getitem__(self, group: str) -> Chosen:
        if group not in self.chosen:
            raise ConfigError(f"the configuration has no group {group!r}: add {group}: {{name: ...}}")
        return self.chosen[group]

    @property
    def needs(self) -> frozenset[str]:
        """What the solver declares under its options."""
        spec = self["solver"].spec
        assert isinstance(spec, SolverSpec | ModelSolverSpec)
        return spec.needs_of(self["solver"].options)

    @property
    def solves_model(self) -> bool:
        """Whether the solver takes the whole model: collector and target builder then take no part."""
        return isinstance(self["solver"].spec, ModelSolverSpec)

    @property
    def moments(self) -> frozenset[str]:
        """The background statistics that solver and target builder need.

        Where a run makes several passes, the value moment changes with every write: it then comes from the key moment.
        """
        if self.solves_model:
            return frozenset()
        target = self["target"].spec
        assert isinstance(target, TargetSpec)
        wanted = (self.needs | target.needs) & {"key_moment", "value_moment", "mean_value"}
        if self.group_size and "value_moment" in wanted:
            wanted = (wanted - {"value_moment"}) | {"key_moment"}
        return frozenset(wanted)


def resolve(config: Config, plugins: Plugins, groups: tuple[str, ...] = tuple(COMPONENT_GROUPS)) -> Parts:
    """Find and type every component that the configuration names, importing no implementation.

    groups: those that must be there. Raises `ConfigError`, `UnknownName` or `PluginError`.
    """
    chosen: dict[str, Chosen] = {}
    for group, kind in COMPONENT_GROUPS.items():
        component = config.components.get(group)
        if component is None:
            if group in groups and group != "background":
                raise ConfigError(
                    f"config {config.name!r} has no group {group!r}: add `{group}: {{name: ...}}`; "
                    f"names: {', '.join(plugins.registry.names(kind))}"
                )
            continue
        registered = plugins.registry.get(kind, component.name)
        options = options_from(registered.spec, component.options, where=group, config=config)
        chosen[group] = Chosen(registered, options)
    metrics = tuple(plugins.registry.get(MetricSpec.kind, name) for name in config.evaluate.metrics)
    size = config.components["solver"].group_size if "solver" in config.components else None
    if size is None:
        size = chosen["solver"].spec.group_size if "solver" in chosen else 0
    parts = Parts(chosen, metrics, size)
    if "background" in groups and "background" not in chosen and "documents" in parts.needs:
        raise ConfigError(
            f"solver {parts['solver'].spec.name!r} reads general text: add `background: {{name: text, path: ...}}`"
        )
    if "background" in groups and "background" not in chosen and parts.moments:
        raise ConfigError(
            f"solver {parts['solver'].spec.name!r} with target {parts['target'].spec.name!r} needs statistics of "
            f"general text ({', '.join(sorted(parts.moments))}): add `background: {{name: text, path: ...}}`"
        )
    return parts


def catalogue(plugins: Plugins) -> Iterator[Registered]:
    """Every component, sorted by kind and name."""
    yield from plugins.registry
