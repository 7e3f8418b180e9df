"""The plugin manager: every plugin is loaded alone, and a broken one disables only itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from zu_framework import hookspecs
from zu_framework.errors import PluginError, unknown_name
from zu_framework.registry.components import Failure, Registered, Registry, failure
from zu_framework.specs import Spec

DISABLE = "ZU_DISABLE"


@dataclass(frozen=True)
class Plugins:
    """A plugin manager with its registry of components."""

    manager: pluggy.PluginManager
    registry: Registry

    @property
    def hook(self) -> Any:
        """Call observers and the architecture hook: `plugins.hook.zu_run_finished(result=...)`."""
        return self.manager.hook


def load_plugins(found: Iterable[EntryPoint] | None = None, disabled: str | None = None) -> Plugins:
    """A fresh manager over the installed plugins (entry points of group `zu_framework`), or over those given.

    disabled: comma-separated plugin names, by default the environment variable ZU_DISABLE.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    points = sorted(
        entry_points(group=hookspecs.ENTRY_POINTS) if found is None else found, key=lambda p: p.name
    )
    skip = _disabled(disabled, [p.name for p in points])
    for point in points:
        if point.name in skip:
            continue
        if manager.has_plugin(point.name):
            registry.failures[point.name] = Failure(
                point.name, "two distributions install a plugin of this name"
            )
            continue
        try:
            _load(manager, registry, point)
        # fault isolation: whatever one plugin raises is recorded, the others go on
        except Exception as cause:
            registry.drop(point.name)
            if manager.has_plugin(point.name):
                manager.unregister(name=point.name)
            registry.failures[point.name] = failure(point.name, cause)
    return Plugins(manager, registry)


@cache
def installed_plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return load_plugins()


def _disabled(names: str | None, known: list[str]) -> set[str]:
    text = os.environ.get(DISABLE, "") if names is None else names
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(wanted - set(known)):
        raise unknown_name("plugin", name, known, f"{DISABLE} may name: {', '.join(known)}")
    return wanted


def _load(manager: pluggy.PluginManager, registry: Registry, point: EntryPoint) -> None:
    plugin = point.load()
    unmarked = [
        name
        for name, value in vars(plugin).items()
        if name.startswith("zu_register_")
        and callable(value)
        and not hasattr(value, f"{hookspecs.PROJECT}_impl")
    ]
    if unmarked:
        raise PluginError(
            f"{point.value}: {unmarked[0]} is not marked with @hookimpl, so it would never be called"
        )
    manager.register(plugin, name=point.name)
    manager.check_pending()  # a misspelt hook: pluggy names it
    source = point.dist

    def register(spec: Spec) -> None:
        registry.add(
            Registered(spec, point.name, source.name if source else "", source.version if source else "")
        )

    others = [other for other in manager.get_plugins() if other is not plugin]
    for hook in manager.get_hookcallers(plugin) or []:
        if hook.name.startswith("zu_register_"):
            manager.subset_hook_caller(hook.name, remove_plugins=others)(register=register)
