"""The page of a bench: tables, trade-off and cost plots, and every cell with the command that repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

import zu_framework
from zu_framework.benches.execution import BenchResult
from zu_framework.benches.plots import Scale, cost, measuring_seconds, statistics_seconds, tradeoff
from zu_framework.benches.records import WORST_ATTACK, CellResult
from zu_framework.benches.tables import BOLD, UNTOUCHED, BenchTable, blocks, metric_of, tables
from zu_framework.files import write_text
from zu_framework.reporting import PageSection, fill, page

PACKAGE = "zu_framework.benches"


def write_page(result: BenchResult) -> Path:
    """Write report.html into the bench's folder: one file, nothing fetched, all that data hold escaped."""
    path = result.folder / "report.html"
    write_text(path, bench_page(result))
    return path


def bench_page(result: BenchResult) -> str:
    """Return the page as text."""
    config = result.bench.config
    found = tables(result.cells, result.better, config)
    by_block = list(blocks(result.cells).values())
    sections = [
        _block(number, table, by_method, result)
        for number, (table, by_method) in enumerate(zip(found, by_block, strict=True), 1)
    ]
    sections += [_cells(result), _reading()]
    done = len(result.cells) - len(result.failed)
    cells = f"{done} of {len(result.cells)} cells done"
    methods = list(dict.fromkeys(cell.cell.method for cell in result.cells))
    return page(
        config.title or result.bench.name,
        sections,
        kicker=f"zu bench · {result.bench.name}",
        lead=f"{len(methods)} methods compared on the same facts, seed by seed; {cells}.",
        footer=f"zu_framework {zu_framework.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _block(
    number: int, table: BenchTable, by_method: Mapping[str, Sequence[CellResult]], result: BenchResult
) -> PageSection:
    results = [cell for found in by_method.values() for cell in found]
    plots: list[tuple[Markup, str]] = []
    across, up = (
        _scale(name, table, result)
        for name in (result.bench.config.forgetting, result.bench.config.retention)
    )
    if (
        drawn := tradeoff(by_method, across, up, f"tradeoff-{number}", "Forgetting against retention")
    ) is not None:
        bars = "bars: one standard deviation over seeds" if table.seeds > 1 else "one seed: no bars"
        plots.append((drawn, f"One mark a method, at its mean; {bars}. Hollow: the model before any edit."))
    attacked = Scale(WORST_ATTACK, "lower", "%")
    title = "Forgetting before attack and after"
    if any(WORST_ATTACK in cell.after for cell in results) and (
        drawn := tradeoff(by_method, across, attacked, f"attacked-{number}", title)
    ):
        plots.append((drawn, "Upwards: the share of lost facts that the worst of the attacks brings back."))
    if (drawn := cost(by_method, f"cost-{number}", "Cost")) is not None:
        plots.append((drawn, _cost_caption(results, result)))
    body = fill("table.html", PACKAGE, table=table, plots=plots, untouched=UNTOUCHED)
    failed = sum(bool(cell.error) for cell in results)
    lead = table.title + (f"; {failed} of {len(results)} cells failed" if failed else "")
    title = (
        table.dataset if len({t.cell.model for t in result.cells}) == 1 else f"{table.dataset}, {table.model}"
    )
    sizes = {cell.cell.forget for cell in result.cells}
    return PageSection(
        f"table-{number}", f"{title}, {table.forget} facts" if len(sizes) > 1 else title, body, lead
    )


def _scale(name: str, table: BenchTable, result: BenchResult) -> Scale:
    unit = next(
        (
            m.unit
            for cell in result.cells
            for m in (cell.after.get(name), cell.before.get(name))
            if m is not None
        ),
        "",
    )
    return Scale(name, result.better.get(metric_of(name), "unchanged"), unit)


def _cost_caption(results: Sequence[CellResult], result: BenchResult) -> str:
    executor = result.bench.executor
    beside = ""
    if result.side_by_side:
        options = ", ".join(f"{key} {value}" for key, value in executor.options.items())
        beside = (
            f" Cells ran side by side ({executor.name}{', ' + options if options else ''}), which slows each."
        )
    statistics, measuring = statistics_seconds(results), measuring_seconds(results)
    return (
        "Seconds of wall clock for the edit alone. Target states that were found in the cache count with the time "
        "that they once took. Statistics of general text are computed once for all: "
        f"{statistics:.2g} s in the cell that took longest. Loading and measuring took {measuring:.2g} s a cell "
        f"besides.{beside}"
    )


def _cells(result: BenchResult) -> PageSection:
    found = tables(result.cells, result.better, result.bench.config)
    columns = list(dict.fromkeys(column.metric for table in found for column in table.columns))
    shown: list[dict[str, Any]] = []
    for cell in result.cells:
        facts = f", {cell.facts} facts" if cell.facts else ""
        shown.append(
            {
                "method": cell.cell.method,
                "dataset": cell.cell.dataset,
                "where": f"{cell.cell.dataset} on {cell.cell.model}{facts}",
                "status": "failed" if cell.error else "done",
                "error": cell.error,
                "command": cell.command,
                "seed": cell.cell.seed,
                "values": [cell.after.get(name) for name in columns],
                "seconds": sum(cell.seconds.values()) if cell.seconds else None,
            }
        )
    selects = {
        key: list(dict.fromkeys(str(cell[key]) for cell in shown)) for key in ("method", "dataset", "status")
    }
    body = fill(
        "cells.html",
        PACKAGE,
        cells=shown,
        columns=[name.replace("_", " ") for name in columns],
        selects=selects,
    )
    failed = bool(result.failed)
    lead = "After the edit; seconds are those of the whole cell. Each cell is a run folder under cells/."
    return PageSection("cells", "All cells", body, lead, failed=failed)


def _reading() -> PageSection:
    body = Markup("<p>{}</p><p>{}</p>").format(
        BOLD,
        "Means and standard deviations (n - 1) are over seeds: each seed draws other facts and other contexts. "
        "Numerators, denominators and intervals of every cell are in results.csv.",
    )
    return PageSection("reading", "How to read this", body)
