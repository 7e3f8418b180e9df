"""What `zu bench` prints: cells as they end, the tables, and where everything lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zu_framework.benches import Bench, BenchResult, Ended, tables
from zu_framework.benches import bench as run_bench
from zu_framework.benches.tables import BOLD, BenchTable
from zu_framework.cli.console import stdout


def bench(config: str, overrides: Sequence[str], console: Console | None = None) -> BenchResult:
    """Run a bench, write its tables and page, print them."""
    console = console or stdout()

    def started(bench: Bench, total: int, done: int) -> None:
        waiting = f"{total - done} to run" if done else "every config is checked"
        console.print(f"[bold]{escape(bench.name)}[/bold]: {total} cells, {done} done already, {waiting}")

    def ended(one: Ended) -> None:
        place = f"[dim]{one.number}/{one.total}[/dim]"
        said = f"[red]failed[/red]: {escape(one.error)}" if one.error else f"{one.seconds:.1f} s"
        console.print(f"{place} {escape(str(one.planned.cell))}: {said}", highlight=False, soft_wrap=True)

    result = run_bench(config, overrides, started=started, ended=ended)
    for table in tables(result.cells, result.better, result.bench.config):
        console.print(_rich(table))
        for row in table.rows:
            if row.note:
                console.print(f"[yellow]note[/yellow]: {escape(row.method)}: {escape(row.note)}")
    console.print(f"[dim]{BOLD}[/dim]")
    _where(result.written, result, console)
    return result


def _rich(table: BenchTable) -> Table:
    shown = Table(title=escape(table.title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    shown.add_column("method", style="cyan", no_wrap=True)
    for column in table.columns:
        shown.add_column(escape(column.title), justify="right", overflow="fold")
    for row in table.rows:
        cells = [f"[bold]{escape(e.text)}[/bold]" if e.bold else escape(e.text) for e in row.entries]
        shown.add_row(escape(row.method), *cells)
    return shown


def _where(written: Sequence[Path], result: BenchResult, console: Console) -> None:
    listed = ", ".join(path.name for path in written)
    console.print(
        f"in [cyan]{escape(str(result.folder))}[/cyan]: {listed}; cells/ holds the run folders",
        soft_wrap=True,
    )
    console.print(f"one cell again: {escape(result.cells[0].command)}", soft_wrap=True)
    if result.failed:
        console.print(
            f"[red]{len(result.failed)} of {len(result.cells)} cells failed[/red]; the same command tries them again"
        )
