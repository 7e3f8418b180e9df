"""From a configuration to the components it names: specs found, options typed, implementations imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import groupby
from typing import Any

from zu_framework.config import COMPONENT_GROUPS, Config, StageConfig, options_from
from zu_framework.errors import ConfigError, in_stage
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins
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
    """The components of a run, by config group, and the metrics in the table's order. then: those of further stages."""

    chosen: Mapping[str, Chosen]
    metrics: tuple[Chosen, ...]
    group_size: int
    then: tuple[Parts, ...] = ()

    def __getitem__(self, group: str) -> Chosen:
        if group not in self.chosen:
            raise ConfigError(f"the configuration has no group {group!r}: add {group}: {{name: ...}}")
        return self.chosen[group]

    def metric_functions(self) -> dict[str, Callable[..., Any]]:
        """The metrics by name, each with its options bound: `metric(scorer, data)`."""
        return {
            metric.spec.name: partial(metric.load(), options=metric.options)
            if fields(metric.spec.options)
            else metric.load()
            for metric in self.metrics
        }

    @property
    def needs(self) -> frozenset[str]:
        """What the solver declares under its options."""
        spec = self["solver"].spec
        assert isinstance(spec, SolverSpec | ModelSolverSpec)
        return spec.needs_of(self["solver"].options)

    @property
    def stages(self) -> tuple[Parts, ...]:
        """These components, then those of further stages."""
        return (self, *self.then)

    def names(self, group: str) -> str:
        """The stages' components of a group in order, neighbours of the same name said once."""
        return " then ".join(name for name, _ in groupby(stage[group].spec.name for stage in self.stages))

    @property
    def reads_text(self) -> bool:
        """Whether any stage reads general text: for its statistics, or as documents."""
        return any(
            stage.moments or "documents" in stage.needs for stage in self.stages if "solver" in stage.chosen
        )

    @property
    def solves_model(self) -> bool:
        """Whether the solver takes the whole model: collector and target builder then take no part."""
        return isinstance(self["solver"].spec, ModelSolverSpec)

    @property
    def moments(self) -> frozenset[str]:
        """The background statistics that solver and target builder need.

        Where a run makes several passes, the value moment changes with every write: it then comes from the key moment.
        """
        return self.moments_of(again=bool(self.group_size))

    def moments_of(self, *, again: bool) -> frozenset[str]:
        """The same, told whether a site is written before it is solved for the last time."""
        if self.solves_model:
            return frozenset()
        target = self["target"].spec
        assert isinstance(target, TargetSpec)
        wanted = (self.needs | target.needs_of(self["target"].options)) & {
            "key_moment",
            "value_moment",
            "mean_value",
        }
        if again and "value_moment" in wanted:
            wanted = (wanted - {"value_moment"}) | {"key_moment"}
        return frozenset(wanted)


def resolve(config: Config, plugins: Plugins, groups: tuple[str, ...] = tuple(COMPONENT_GROUPS)) -> Parts:
    """Find and type every component that the configuration names, importing no implementation.

    groups: those that must be there. Raises `ConfigError`, `UnknownName` or `PluginError`.
    """
    first, *then = [_stage(config, stage, plugins, groups) for stage in config.stages]
    metrics = tuple(_metric(name, config, plugins) for name in config.evaluate.metrics)
    for name in config.evaluate.options:
        if name not in config.evaluate.metrics:
            raise ConfigError(
                f"evaluate.options gives options to {name!r}, which evaluate.metrics does not list: "
                f"{', '.join(config.evaluate.metrics)}"
            )
    return replace(first, metrics=metrics, then=tuple(then))


def require_retain(parts: Parts, retain: Sequence[Any]) -> None:
    """Raise `ConfigError` where a stage protects facts to keep, and there are none."""
    for number, stage in enumerate(parts.stages):
        if retain or "solver" not in stage.chosen or stage.solves_model:  # an evaluation has no solver
            continue
        if "retain_keys" in stage.needs:
            with in_stage(number):
                raise ConfigError(
                    f"solver {stage['solver'].spec.name!r} protects facts to keep under these options, and there are "
                    "none: give them (data.retain, or `retain` of zu.unlearn), or set its retain_weight to 0"
                )


def _stage(config: Config, stage: StageConfig, plugins: Plugins, groups: tuple[str, ...]) -> Parts:
    """The components of one stage."""
    with in_stage(stage.number):
        return _parts(config, stage, plugins, groups)


def _parts(config: Config, stage: StageConfig, plugins: Plugins, groups: tuple[str, ...]) -> Parts:
    chosen: dict[str, Chosen] = {}
    named = {**config.components, **stage.components}
    for group, kind in COMPONENT_GROUPS.items():
        component = named.get(group)
        if component is None:
            if group in groups and group != "background":
                raise ConfigError(
                    f"config {config.name!r} has no group {group!r}: add `{group}: {{name: ...}}`; "
                    f"names: {', '.join(plugins.registry.names(kind))}"
                )
            continue
        registered = plugins.registry.get(kind, component.name)
        options = options_from(registered.spec, component.options, where=group, origins=stage.origins)
        chosen[group] = Chosen(registered, options)
    size = named["solver"].group_size if "solver" in named else None
    if size is None:
        size = chosen["solver"].spec.group_size if "solver" in chosen else 0
    parts = Parts(chosen, (), size)
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


def _metric(name: str, config: Config, plugins: Plugins) -> Chosen:
    """A metric with its options. Raises `ConfigError` where it compares with a reference model that is not given."""
    registered = plugins.registry.get(MetricSpec.kind, name)
    assert isinstance(registered.spec, MetricSpec)
    given = config.evaluate.options.get(name) or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"evaluate.options.{name} is a mapping of options, got {given!r}")
    options = options_from(registered.spec, given, where=f"evaluate.options.{name}", origins=config.origins)
    if "reference" in registered.spec.needs_of(options) and config.evaluate.reference is None:
        raise ConfigError(
            f"metric {name!r} compares with a model that was retrained without the forget facts: give it by "
            "evaluate.reference=FOLDER, or leave the metric out of evaluate.metrics"
        )
    return Chosen(registered, options)
