"""The plugins that watch a run, each shut in: one that raises is reported once, and costs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zu_framework.errors import described

if TYPE_CHECKING:
    from zu_framework.contracts import RunObserver
    from zu_framework.registry.manager import Plugins


def _record_nothing(event: str, **data: Any) -> None:
    """Keep no event."""


class Observers:
    """Calls the observers of one run, and keeps what went wrong with them.

    Args:
        plugins: Whose hooks are called; None for nobody's.
        record: Keeps an event: `record("observer failed", plugin=..., at=..., error=...)`.
    """

    def __init__(self, plugins: Plugins | None = None, record: Callable[..., None] = _record_nothing) -> None:
        self.notes: list[str] = []
        self._plugins = plugins
        self._record = record
        self._watching: list[tuple[str, RunObserver]] = []
        self._failed: set[tuple[str, str]] = set()

    def __bool__(self) -> bool:
        """Whether any observer watches this run."""
        return bool(self._watching)

    def begin(self, config: Any) -> None:
        """Ask each plugin for an observer of the run."""
        for plugin, call in self._hooks("zu_observe_run"):
            found = self._shut_in(plugin, "zu_observe_run", call, config=config, plugins=self._plugins)
            self._watching += [(plugin, observer) for observer in found or () if observer is not None]

    def before(self, scorer: Any, data: Any, sites: Sequence[Any]) -> None:
        """Show the untouched model."""
        for plugin, observer in self._watching:
            self._shut_in(plugin, "before", observer.before, scorer, data, sites)

    def after(self, scorer: Any, edit: Any) -> None:
        """Show the edited model."""
        for plugin, observer in self._watching:
            self._shut_in(plugin, "after", observer.after, scorer, edit)

    def saved(self, folder: Path, final: Path) -> dict[str, str]:
        """Let observers add to the run folder; return why one could not, by plugin."""
        failed = {}
        for plugin, observer in self._watching:
            try:
                observer.saved(folder, final)
            # as below; what is saved is a part of the run, and counted as one
            except (Exception, SystemExit) as cause:
                failed[plugin] = described(cause)
                self._record("part failed", part=plugin, error=failed[plugin])
        return failed

    def site_solved(self, **observed: Any) -> None:
        """Call `zu_site_solved`."""
        for plugin, call in self._hooks("zu_site_solved"):
            self._shut_in(plugin, "zu_site_solved", call, **observed)

    def finished(self, result: Any) -> None:
        """Call `zu_run_finished`."""
        for plugin, call in self._hooks("zu_run_finished"):
            self._shut_in(plugin, "zu_run_finished", call, result=result)

    def _hooks(self, name: str) -> Iterable[tuple[str, Callable[..., Any]]]:
        """Each plugin that implements a hook, and a caller of its implementation alone."""
        return () if self._plugins is None else self._plugins.callers(name)

    def _shut_in(self, plugin: str, moment: str, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Return what the observer returns; None where it raises, which is then noted once."""
        try:
            return call(*given, **named)
        # a stranger's observer may raise anything: the run outlives it
        except (Exception, SystemExit) as cause:
            error = described(cause)
            if (plugin, moment) not in self._failed:
                self._failed.add((plugin, moment))
                self._record("observer failed", plugin=plugin, moment=moment, error=error)
                self.notes.append(f"plugin {plugin!r} failed in `{moment}`, and the run went on: {error}")
            return None
