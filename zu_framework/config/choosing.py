"""From a configuration to the components that it names: found, their options typed, nothing imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zu_framework.config.groups import COMPONENT_GROUPS
from zu_framework.config.structured import options_from
from zu_framework.config.whole import Component, Config
from zu_framework.errors import ConfigError, unknown_name
from zu_framework.registry import Chosen, Plugins
from zu_framework.specs import BackgroundSpec, MetricSpec


def shared_components(config: Config, plugins: Plugins, groups: Sequence[str]) -> dict[str, Chosen]:
    """Return the components that all stages share, by group.

    Args:
        config: The configuration.
        plugins: Who offers components.
        groups: Without "data" in them no data set is looked up.

    Raises:
        ConfigError: There is no data set, or an option is unknown or mistyped.
        UnknownName: A component that no plugin offers.
    """
    if "data" in groups and "data" not in config.components:
        raise missing(config, "data", plugins)
    wanted = {g: c for g, c in config.components.items() if g != "data" or "data" in groups}
    return {group: choose(component, plugins, config.origins) for group, component in wanted.items()}


def choose(component: Component, plugins: Plugins, origins: Mapping[str, str]) -> Chosen:
    """Return the component that a group names, its options typed."""
    registered = plugins.registry.get(COMPONENT_GROUPS[component.group], component.name)
    where = component.group
    return Chosen(registered, options_from(registered.spec, component.options, where=where, origins=origins))


def default_background(plugins: Plugins) -> Chosen | None:
    """Return the background that serves where none is given, at its defaults; None where no plugin offers one."""
    offers = plugins.registry.components.get(BackgroundSpec.kind, {})
    for name in sorted(offers):
        spec = offers[name][0].spec
        if len(offers[name]) == 1 and isinstance(spec, BackgroundSpec) and spec.serves_by_default:
            return Chosen(plugins.registry.get(BackgroundSpec.kind, name), spec.options())
    return None


def missing(config: Config, group: str, plugins: Plugins) -> ConfigError:
    """Return the error about a group that a configuration lacks."""
    return ConfigError(
        f"config {config.name!r} has no group {group!r}: add `{group}: {{name: ...}}`; "
        f"names: {', '.join(plugins.registry.names(COMPONENT_GROUPS[group]))}"
    )


def chosen_metrics(config: Config, plugins: Plugins) -> tuple[Chosen, ...]:
    """Return the metrics of a configuration with their options typed, in the table's order.

    Raises:
        ConfigError: An option is unknown, or a metric lacks the model that it compares with.
        UnknownName: A metric that no plugin offers.
    """
    for name in config.evaluate.options:
        if name not in config.evaluate.metrics:
            raise ConfigError(
                f"evaluate.options gives options to {name!r}, which evaluate.metrics does not list: "
                f"{', '.join(config.evaluate.metrics)}"
            )
    return tuple(_metric(name, config, plugins) for name in config.evaluate.metrics)


def check_limits(config: Config, plugins: Plugins) -> None:
    """Check that every one of `guard.limits` is of a metric that has one, measured here or not.

    Raises:
        UnknownName: One is of none.
    """
    specs = [offered.spec for offered in plugins.registry]
    limited = [spec for spec in specs if isinstance(spec, MetricSpec) and spec.limit is not None]
    known = sorted({name for spec in limited for name in (spec.name, spec.limited)})
    for name in config.guard.limits:
        if name not in known:
            raise unknown_name(
                "limit of guard.limits", name, known, f"metrics that have one: {', '.join(known)}"
            )


def _metric(name: str, config: Config, plugins: Plugins) -> Chosen:
    """Return a metric with its options. Raises `ConfigError` where it lacks the model that it compares with."""
    registered = plugins.registry.get(MetricSpec.kind, name)
    given = config.evaluate.options.get(name) or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"evaluate.options.{name} is a mapping of options, got {given!r}")
    where = f"evaluate.options.{name}"
    metric = Chosen(registered, options_from(registered.spec, given, where=where, origins=config.origins))
    if "reference" in metric.needs and config.evaluate.reference is None:
        raise ConfigError(
            f"metric {name!r} compares with a model that was retrained without the forget facts: give it by "
            "evaluate.reference=FOLDER, or leave the metric out of evaluate.metrics"
        )
    return metric
