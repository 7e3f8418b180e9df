"""What is registered: components by kind and name, who offers them, and how they are imported on first use."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any

from zu_framework.contracts import Prepare
from zu_framework.errors import PluginError, unknown_name
from zu_framework.specs import SolverSpec, Spec

LISTING = "`zu plugins` lists them all"


@dataclass(frozen=True)
class Failure:
    """A plugin that could not be used. error: one line; traceback: the whole story."""

    plugin: str
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Registered:
    """A component and the plugin that offers it, with that plugin's distribution and version."""

    spec: Spec
    plugin: str
    distribution: str = ""
    version: str = ""

    def load(self) -> Any:
        """Import the implementation. Raises `PluginError` that names plugin, target and cause."""
        return self._imported(self.spec.target)

    def load_prepare(self) -> Prepare | None:
        """Import what computes the solver's factor; None for a component without one. Raises as `load` does."""
        declared = self.spec.prepare if isinstance(self.spec, SolverSpec) else None
        found: Prepare | None = None if declared is None else self._imported(declared.target)
        return found

    def _imported(self, target: str) -> Any:
        module, _, attribute = target.partition(":")
        try:
            value: Any = import_module(module)
            for part in attribute.split("."):
                value = getattr(value, part)
        except Exception as cause:  # whatever a stranger's module raises on import is that plugin's failure
            raise PluginError(
                f"{self.spec.kind} {self.spec.name!r} of plugin {self.plugin!r} cannot be imported from "
                f"{target!r}: {type(cause).__name__}: {cause}; mend the plugin, or disable it with "
                f"ZU_DISABLE={self.plugin}"
            ) from cause
        return value


@dataclass
class Registry:
    """All components. One namespace a kind; a name that two plugins offer belongs to neither."""

    components: dict[str, dict[str, list[Registered]]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, registered: Registered) -> None:
        """Take one registration. Raises `PluginError` where the spec itself is unusable."""
        spec = registered.spec
        if not isinstance(spec, Spec):
            raise PluginError(f"plugin {registered.plugin!r} registered {spec!r}, which is no spec")
        for fault in spec.faults():
            raise PluginError(f"plugin {registered.plugin!r}: {spec.kind} {spec.name!r}: {fault}")
        self.components.setdefault(spec.kind, {}).setdefault(spec.name, []).append(registered)

    def drop(self, plugin: str) -> None:
        """Forget everything that a plugin registered (it failed half-way)."""
        for by_name in self.components.values():
            for name in list(by_name):
                by_name[name] = [r for r in by_name[name] if r.plugin != plugin]
                if not by_name[name]:
                    del by_name[name]

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        return sorted(self.components.get(kind, {}))

    def get(self, kind: str, name: str) -> Registered:
        """The component of that name. Raises `UnknownName`, or `PluginError` on a collision."""
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

    def collisions(self) -> list[str]:
        """One message for each name that several plugins offer."""
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
    """What to say of a name that several plugins offer."""
    plugins = sorted(r.plugin for r in offers)
    return (
        f"{kind} {name!r} is offered by {' and '.join(repr(p) for p in plugins)}; "
        f"disable all but one, for example with ZU_DISABLE={','.join(plugins[1:])}"
    )


def failure(plugin: str, cause: BaseException) -> Failure:
    """The record of an exception that a plugin raised."""
    return Failure(plugin, f"{type(cause).__name__}: {cause}", "".join(traceback.format_exception(cause)))


def option_defaults(options: type[Any]) -> Mapping[str, Any]:
    """Name and default of each option, in order."""
    instance = options()
    return {f.name: getattr(instance, f.name) for f in fields(options)}
