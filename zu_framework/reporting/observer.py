"""The observer that draws a run's page: a snapshot before, one after, then `report.html` in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zu_framework.reporting.analysis import write_analysis
from zu_framework.reporting.snapshot import Selection, Snapshot, select, take_snapshot

if TYPE_CHECKING:
    from zu_framework.config import Config
    from zu_framework.engine.edit import Edit
    from zu_framework.evaluation import Scorer
    from zu_framework.problem import DataSplit, Site
    from zu_framework.registry.manager import Plugins


class PageObserver:
    """Implements `zu_framework.contracts.RunObserver`.

    Args:
        config: Its group `report` bounds what the page costs.
        plugins: Those whose sections the page shows.
    """

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self._limits = config.report
        self._plugins = plugins
        self._selection: Selection | None = None
        self._snapshots: list[Snapshot] = []
        self._edit: Edit | None = None

    def before(self, scorer: Scorer, data: DataSplit, sites: Sequence[Site]) -> None:
        """Choose what is shown, and take the first snapshot."""
        self._selection = select(data, sites, self._limits)
        self._snapshots.append(take_snapshot(scorer, self._selection))

    def after(self, scorer: Scorer, edit: Edit) -> None:
        """Take the second snapshot."""
        if self._selection is not None:
            self._snapshots.append(take_snapshot(scorer, self._selection))
        self._edit = edit

    def saved(self, folder: Path, final: Path) -> None:
        """Write what the page is drawn from, and the page; without snapshots it says what it lacks."""
        from zu_framework.reporting.run_page import write_run_page  # matplotlib is slow to import

        if self._selection is not None and self._edit is not None and len(self._snapshots) == 2:
            before, after = self._snapshots
            write_analysis(folder, self._selection, before, after, self._edit, self._limits.sites)
        write_run_page(folder, location=final, plugins=self._plugins)
