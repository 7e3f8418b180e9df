"""What a bench leaves beside its cells: numbers, tables, and the page."""

from __future__ import annotations

from pathlib import Path

from zu_framework.bench.execution import BenchResult
from zu_framework.bench.page import write_page
from zu_framework.bench.records import rows, write_rows
from zu_framework.bench.tables import latex, markdown, tables


def write_outputs(result: BenchResult) -> list[Path]:
    """Write results.csv (and .parquet), table.md, table.tex and report.html; return their paths, the page last."""
    config = result.bench.config
    found = tables(result.cells, result.better, config)
    title = config.title or result.bench.name
    written = write_rows(result.folder, rows(result.cells))
    for name, text in (("table.md", markdown(found, title)), ("table.tex", latex(found, title))):
        (result.folder / name).write_text(text, encoding="utf-8")
        written.append(result.folder / name)
    return [*written, write_page(result)]
