"""The plugin manager: every plugin is loaded alone, and a broken one disables only itself."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from zu_framework import hookspecs
from zu_framework.errors import PluginError, described, unknown_name
from zu_framework.registry.components import SHIPPED, Failure, Registered, Registry, failure
from zu_framework.specs import Spec

if TYPE_CHECKING:
    from zu_framework.problem import Architecture

DISABLE = "ZU_DISABLE"


@dataclass(frozen=True)
class Plugins:
    """A plugin manager with its registry of components.

    Args:
        manager: Knows who implements which hook.
        registry: Knows who offers which component.
    """

    manager: pluggy.PluginManager
    registry: Registry

    @property
    def hook(self) -> Any:
        """Every hook, called for all plugins at once: `plugins.hook.zu_run_finished(result=...)`."""
        return self.manager.hook

    def callers(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield who implements a hook, each to be called alone, so that one that raises can be told from the others.

        Args:
            hook: Its name.

        Yields:
            The plugin's name, and a function that calls its implementation with the hook's arguments by name.
        """
        every = self.manager.get_plugins()
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            others = [other for other in every if other is not implementation.plugin]
            yield implementation.plugin_name, self.manager.subset_hook_caller(hook, remove_plugins=others)

    def disable(self, plugin: str, cause: BaseException) -> None:
        """Take a plugin out that failed, and note why.

        Args:
            plugin: Its name.
            cause: What it raised.
        """
        self.registry.drop(plugin)
        if self.manager.has_plugin(plugin):
            self.manager.unregister(name=plugin)
        self.registry.failures[plugin] = failure(plugin, cause)


def load_plugins(
    found: Iterable[EntryPoint] | None = None, disabled: str | None = None, extra: Iterable[Any] = ()
) -> Plugins:
    """Make a fresh manager over plugins.

    Args:
        found: Entry points; those of group `zu_framework` that are installed where it is None.
        disabled: Comma-separated plugin names; the environment variable ZU_DISABLE where it is None.
        extra: Modules, or other objects with hook functions, that are plugins besides.

    Returns:
        All plugins that could be loaded; the others stand in `registry.failures`.

    Raises:
        UnknownName: `disabled` names no plugin.
        PluginError: One of `extra` cannot be used.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager, Registry())
    installed = list(entry_points(group=hookspecs.ENTRY_POINTS) if found is None else found)
    stated = {dist: _stated(dist) for dist in {point.dist for point in installed}}
    points = sorted(installed, key=lambda point: (point.name, not _shipped(stated[point.dist][0])))
    skip = _disabled(disabled, [point.name for point in points])
    for point in points:
        if point.name in skip:
            continue
        if manager.has_plugin(point.name):
            plugins.registry.failures[point.name] = Failure(point.name, _twice(stated[point.dist][0]))
            continue
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints must not mix with a command's answer
                _load(plugins, point.name, point.load(), point.value, *stated[point.dist])
        # whatever one plugin does, the others go on
        except (Exception, SystemExit) as cause:
            plugins.disable(point.name, cause)
    for given in extra:
        name = str(getattr(given, "__name__", type(given).__name__))
        try:
            _load(plugins, name, given, name)
        except Exception as cause:
            plugins.registry.drop(name)
            raise PluginError(f"plugin {name!r} cannot be used: {described(cause)}") from cause
    return plugins


def plugins(extra: Iterable[Any] = ()) -> Plugins:
    """Make a fresh manager over the installed plugins and modules of your own: `zu.plugins(extra=[module])`.

    Args:
        extra: Modules with hook functions, such as one of a notebook; `sys.modules["__main__"]` is the notebook itself.

    Returns:
        What `zu.run`, `zu.unlearn` and `zu.solve` take as `plugins`.

    Raises:
        UnknownName: ZU_DISABLE names no plugin.
        PluginError: A module cannot be used.
    """
    return load_plugins(extra=extra)


@cache
def installed_plugins() -> Plugins:
    """Return the plugins of this process, loaded once."""
    return load_plugins()


def architecture_finder(plugins: Plugins) -> Callable[[Any], Architecture | None]:
    """Return what asks the plugins to describe a model; it is the core's one caller of `zu_architecture`.

    A plugin that raises, or returns something else, is taken out with a warning, and the next one is asked.

    Args:
        plugins: Whose hooks are called.

    Returns:
        A function from a transformers model to the first description, or None where no plugin knows the model.
    """

    def find(model: Any) -> Architecture | None:
        from zu_framework.problem import Architecture

        for name, call in list(plugins.callers("zu_architecture")):
            try:
                with redirect_stdout(sys.stderr):
                    found = call(model_type=model.config.model_type, model=model)
                if found is not None and not isinstance(found, Architecture):
                    raise PluginError(
                        f"zu_architecture returned a {type(found).__name__}, expected an Architecture or None"
                    )
            # whatever one plugin does, the others go on
            except (Exception, SystemExit) as cause:
                plugins.disable(name, cause)
                warnings.warn(
                    f"plugin {name!r} failed in zu_architecture and is disabled: {described(cause)}",
                    stacklevel=2,
                )
                continue
            if found is not None:
                return found
        return None

    return find


def describes_models(plugins: Plugins) -> bool:
    """Return whether any plugin offers `zu_architecture`; it may describe a model that the core would refuse."""
    return any(True for _ in plugins.callers("zu_architecture"))


def _disabled(names: str | None, known: list[str]) -> set[str]:
    text = os.environ.get(DISABLE, "") if names is None else names
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    for name in sorted(wanted - set(known)):
        raise unknown_name("plugin", name, known, f"{DISABLE} may name: {', '.join(known)}")
    return wanted


def _stated(distribution: Distribution | None) -> tuple[str, str]:
    """A distribution's name and version; each is a reading of all that it states."""
    return ("", "") if distribution is None else (distribution.name, distribution.version)


def _shipped(distribution: str) -> bool:
    return distribution.replace("_", "-").lower() == SHIPPED


def _twice(distribution: str) -> str:
    source = f" (the one of {distribution} is left out)" if distribution else ""
    return f"two distributions install a plugin of this name{source}"


def _load(
    plugins: Plugins, name: str, plugin: Any, where: str, distribution: str = "", version: str = ""
) -> None:
    """Register a plugin, and let it offer its components."""
    manager = plugins.manager
    unmarked = [
        hook
        for hook, value in vars(plugin).items()
        if hook.startswith("zu_register_")
        and callable(value)
        and not hasattr(value, f"{hookspecs.PROJECT}_impl")
    ]
    if unmarked:
        raise PluginError(f"{where}: {unmarked[0]} is not marked with @hookimpl, so it would never be called")
    manager.register(plugin, name=name)
    manager.check_pending()  # a misspelt hook: pluggy names it

    def register(spec: Spec) -> None:
        plugins.registry.add(Registered(spec, name, distribution, version))

    others = [other for other in manager.get_plugins() if other is not plugin]
    for hook in manager.get_hookcallers(plugin) or []:
        if hook.name.startswith("zu_register_"):
            manager.subset_hook_caller(hook.name, remove_plugins=others)(register=register)
