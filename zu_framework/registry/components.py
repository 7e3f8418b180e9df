"""What is registered: components by kind and name, who offers them, and how they are imported on first use."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any

from zu_framework.contracts import Prepare
from zu_framework.errors import PluginError, described, unknown_name
from zu_framework.registry.checking import contract_fault
from zu_framework.registry.extras import FRAMEWORK, missing_extra
from zu_framework.specs import MetricSpec, SolverSpec, Spec

LISTING = "`zu plugins` lists them all"
SHIPPED = "zu-framework"  # the distribution whose names were there first


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be used.

    Args:
        plugin: Its name.
        error: One line.
        traceback: The whole story, where there is one.
    """

    plugin: str
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Registered:
    """A component and the plugin that offers it.

    Args:
        spec: The registration.
        plugin: The plugin's name.
        distribution: What was installed; "" for a module that was handed over.
        version: Of the distribution.
    """

    spec: Spec
    plugin: str
    distribution: str = ""
    version: str = ""

    @property
    def shipped(self) -> bool:
        """Whether it comes with the framework."""
        return self.distribution.replace("_", "-").lower() == SHIPPED

    def load(self, target: str = "") -> Any:
        """Import the implementation, and hold it against its contract.

        Args:
            target: Another `"module:attribute"` of the registration, such as a locator's check.

        Returns:
            What the target names.

        Raises:
            PluginError: It cannot be imported, or breaks its contract; plugin, target and cause are named.
        """
        target = target or self.spec.target
        module, _, attribute = target.partition(":")
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints must not mix with a command's answer
                value: Any = import_module(module)
            for part in attribute.split("."):
                value = getattr(value, part)
        # whatever a stranger's module raises is that plugin's failure
        except (Exception, SystemExit) as cause:
            way_out = missing_extra(cause, self.distribution or FRAMEWORK) or self._way_out
            raise PluginError(
                f"{self._name} cannot be imported from {target!r}: {described(cause)}; {way_out}"
            ) from cause
        fault = contract_fault(self.spec, value, target)
        if fault:
            raise PluginError(f"{self._name} breaks its contract: {fault}; {self._way_out}")
        return value

    def load_prepare(self) -> Prepare | None:
        """Import what computes the solver's factor; None for a component without one.

        Raises:
            PluginError: As `load`.
        """
        declared = self.spec.prepare if isinstance(self.spec, SolverSpec) else None
        found: Prepare | None = None if declared is None else self.load(declared.target)
        return found

    @property
    def _name(self) -> str:
        return f"{self.spec.kind} {self.spec.name!r} of plugin {self.plugin!r}"

    @property
    def _way_out(self) -> str:
        return f"mend the plugin, or disable it with ZU_DISABLE={self.plugin}"


@dataclass
class Registry:
    """All components, one namespace a kind; a name that two plugins offer belongs to neither.

    Args:
        components: By kind and name, all that offer it.
        failures: Plugins that could not be used, by name.
    """

    components: dict[str, dict[str, list[Registered]]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, registered: Registered) -> None:
        """Take one registration.

        Args:
            registered: With the plugin that offers it.

        Raises:
            PluginError: The spec is unusable; plugin and component are named.
        """
        spec = registered.spec
        if not isinstance(spec, Spec):
            raise PluginError(
                f"plugin {registered.plugin!r} registered a {type(spec).__name__}, which is no spec"
            )
        for fault in spec.faults():
            raise PluginError(f"plugin {registered.plugin!r}: {spec.kind} {spec.name!r}: {fault}")
        self.components.setdefault(spec.kind, {}).setdefault(spec.name, []).append(registered)

    def drop(self, plugin: str) -> None:
        """Forget everything that a plugin registered.

        Args:
            plugin: Its name.
        """
        for by_name in self.components.values():
            for name in list(by_name):
                by_name[name] = [r for r in by_name[name] if r.plugin != plugin]
                if not by_name[name]:
                    del by_name[name]

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, sorted.

        Args:
            kind: As a spec has it.

        Returns:
            Names; none for a kind that nobody offers.
        """
        return sorted(self.components.get(kind, {}))

    def get(self, kind: str, name: str) -> Registered:
        """Return the component of a name.

        Args:
            kind: As a spec has it.
            name: Of the component.

        Returns:
            The one that offers it.

        Raises:
            UnknownName: Nobody offers it; close names, and plugins that failed to load, are named.
            PluginError: Several plugins offer it.
        """
        offers = self.components.get(kind, {}).get(name, [])
        if len(offers) == 1:
            return offers[0]
        if offers:
            raise PluginError(collision(kind, name, offers))
        listing = LISTING
        if self.failures:
            broken = "; ".join(
                f"plugin {f.plugin!r} failed to load: {f.error}" for f in self.failures.values()
            )
            listing = f"{LISTING}. It may be one of a broken plugin's: {broken}"
        raise unknown_name(kind, name, self.names(kind), listing)

    @property
    def default_metrics(self) -> list[str]:
        """What is measured where a configuration names no metrics, in the table's order."""
        specs = (found[0].spec for found in self.components.get(MetricSpec.kind, {}).values())
        places = {spec.name: spec.default_order for spec in specs if isinstance(spec, MetricSpec)}
        return sorted((name for name in places if places[name]), key=lambda name: (places[name], name))

    @property
    def record_fields(self) -> frozenset[str]:
        """The fields of a user's records that metrics read from `Request.extra`."""
        specs = (registered.spec for registered in self)
        return frozenset().union(*(spec.fields for spec in specs if isinstance(spec, MetricSpec)))

    def collisions(self) -> list[str]:
        """Return a message for each name that several plugins offer."""
        return [
            collision(kind, name, offers)
            for kind, by_name in sorted(self.components.items())
            for name, offers in sorted(by_name.items())
            if len(offers) > 1
        ]

    def __iter__(self) -> Iterator[Registered]:
        for kind in sorted(self.components):
            for name in sorted(self.components[kind]):
                yield from self.components[kind][name]


def collision(kind: str, name: str, offers: list[Registered]) -> str:
    """Return what to say of a name that several plugins offer.

    Args:
        kind: As a spec has it.
        name: Of the component.
        offers: All that offer it.

    Returns:
        A sentence with the plugins to disable: all but the one that ships with the framework, or else but one.
    """
    ordered = sorted(offers, key=lambda r: (not r.shipped, r.plugin))
    plugins = " and ".join(repr(r.plugin) for r in ordered)
    others = ",".join(dict.fromkeys(r.plugin for r in ordered[1:]))
    if len({r.plugin for r in offers}) == 1:
        return f"{kind} {name!r} is registered twice by {ordered[0].plugin!r}: it keeps one of them"
    return (
        f"{kind} {name!r} is offered by {plugins}; disable all but one, for example with ZU_DISABLE={others}"
    )


def failure(plugin: str, cause: BaseException) -> Failure:
    """Return the record of an exception that a plugin raised.

    Args:
        plugin: Its name.
        cause: What it raised.

    Returns:
        The exception on one line, and its traceback.
    """
    return Failure(plugin, described(cause), "".join(traceback.format_exception(cause)))


def option_defaults(options: type[Any]) -> Mapping[str, Any]:
    """Return the name and default of each option, in order.

    Args:
        options: An options dataclass.

    Returns:
        Defaults by name.
    """
    instance = options()
    return {f.name: getattr(instance, f.name) for f in fields(options)}
