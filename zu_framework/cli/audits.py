"""What `zu audit` prints: the verdict first, a row a variant, and the facts that came back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zu_framework.cli.console import stdout
from zu_framework.engine.audit import AuditReport
from zu_framework.evaluation import Finding
from zu_framework.problem import Measurement

LEAKS = 5  # facts that came back which the terminal shows; the page shows all
REFERENCES = ("untouched", "twin", "never known", "retained")


def print_audit(report: AuditReport, page: Path, console: Console | None = None) -> None:
    """Print an audit."""
    console = console or stdout()
    console.print(f"[bold]{escape(report.verdict)}[/bold]")
    if report.known is not None:
        console.print(
            f"{report.asked} facts asked, {report.known} known to the untouched model, {report.lost} lost to the edit"
        )
    limit = report.config.audit.limit
    shown = [name for name in REFERENCES if any(name in one.references for one in report.findings)]
    table = Table(box=None, padding=(0, 2, 0, 0), title="percent, worst first", title_justify="left")
    table.add_column("attack", no_wrap=True)
    table.add_column("recovered", justify="right", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right")
    for one in worst_first(report.findings):
        mark = "" if one.holds(limit) else "bold red"
        references = [one.references.get(name) for name in shown]
        cells = ["-" if beside is None else f"{beside.value:.0f}" for beside in references]
        table.add_row(
            escape(one.variant),
            percent(one.recovered or one.answered),
            *cells,
            f"{one.seconds:.1f}",
            style=mark,
        )
    console.print(table)
    leaks = [leak for one in worst_first(report.findings) if not one.holds(limit) for leak in one.leaks]
    for leak in leaks[:LEAKS]:
        console.print(
            f"came back: {escape(leak['answer'])}, after {escape(repr(leak['prompt'][-100:]))}",
            highlight=False,
        )
    for note in report.notes:
        console.print(f"[yellow]note[/yellow]: {escape(note)}")
    console.print(f"[dim]{report.seconds:.0f} s[/dim]")
    console.print(f"report: [cyan]{escape(str(page))}[/cyan]", soft_wrap=True)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return the variants, those that get most above chance first."""
    return sorted(findings, key=lambda one: -((one.share or 0.0) - one.chance))


def percent(measured: Measurement | None) -> str:
    """Return a percentage with its interval where it has a visible one."""
    if measured is None:
        return "-"
    if measured.low is None or measured.high is None or measured.low == measured.high:
        return f"{measured.value:.0f}"
    return f"{measured.value:.0f} ({measured.low:.0f} to {measured.high:.0f})"
