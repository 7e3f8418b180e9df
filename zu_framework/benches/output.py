"""The front door of a bench, and what it leaves beside its cells: numbers, tables, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zu_framework.benches.execution import BenchResult, Ended, run_bench
from zu_framework.benches.grid import Bench
from zu_framework.benches.page import write_page
from zu_framework.benches.records import rows, write_rows
from zu_framework.benches.tables import latex, markdown, tables
from zu_framework.files import write_text
from zu_framework.registry import Plugins


def bench(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    started: Callable[[Bench, int, int], None] = lambda bench, total, done: None,
    ended: Callable[[Ended], None] = lambda ended: None,
) -> BenchResult:
    """Compare methods: run a grid of models, data sets, methods, seeds and sizes, each cell a run folder.

    Every cell's config is checked before the first one runs. The same call goes on where an earlier one stopped: done
    cells are passed over, failed ones tried again.

    Args:
        source: A ready-made bench by name, a YAML file or a mapping.
        overrides: Such as `["seeds=3", "methods=[MEMIT]"]`.
        plugins: Who offers components; by default all that are installed.
        started: `started(bench, cells, done already)` is called once all is checked.
        ended: Called after each cell.

    Returns:
        Each cell's measurements or error, and the tables, numbers and page that were written.

    Raises:
        ZuError: Whatever can be known before the first cell runs; what a cell raises is its own failure.
    """
    result = run_bench(source, overrides, plugins=plugins, started=started, ended=ended)
    return replace(result, written=tuple(write_outputs(result)))


def write_outputs(result: BenchResult) -> list[Path]:
    """Write results.csv (and .parquet), table.md, table.tex and report.html.

    Args:
        result: Of a bench.

    Returns:
        What was written, the page last.
    """
    config = result.bench.config
    found = tables(result.cells, result.better, config)
    title = config.title or result.bench.name
    written = write_rows(result.folder, rows(result.cells))
    for name, text in (("table.md", markdown(found, title)), ("table.tex", latex(found, title))):
        write_text(result.folder / name, text)
        written.append(result.folder / name)
    return [*written, write_page(result)]
