"""The tables of a bench: built once, then written as Markdown, LaTeX, for the terminal, or by the page's template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zu_framework.benches.comparison import Spread, not_worse, spread
from zu_framework.benches.grid import BenchConfig, Block
from zu_framework.benches.records import CellResult
from zu_framework.problem import Measurement

UNTOUCHED = "untouched model"
ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Column:
    """A metric.

    Args:
        metric: Its name.
        better: The direction that is wanted.
        unit: "%" or "".
        note: What a reader must know.
    """

    metric: str
    better: str
    unit: str
    note: str = ""

    @property
    def title(self) -> str:
        """Name, unit and direction."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.metric.replace('_', ' ')}{unit} {ARROWS.get(self.better, '')}".rstrip()


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        spread: Over seeds; None where nothing was measured.
        unit: "%" or "".
        bold: Whether it is not shown to be worse than the best.
    """

    spread: Spread | None
    unit: str
    bold: bool = False

    @property
    def text(self) -> str:
        """Mean and standard deviation over seeds, as a reader wants them: "12.3 ± 1.0"."""
        if self.spread is None:
            return "-"
        mean, sd = _digits(self.spread, self.unit)
        return f"{mean} ± {sd}" if sd else mean


@dataclass(frozen=True)
class Row:
    """A method.

    Args:
        method: Its label.
        entries: Its numbers by column.
        seeds: Of how many seeds they are.
        of: Of how many they should be.
        errors: Why some are missing.
    """

    method: str
    entries: tuple[Entry, ...]
    seeds: int
    of: int
    errors: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What a reader must know of this row; "" for nothing."""
        if not self.errors:
            return ""
        missing = self.of - self.seeds
        return f"{missing} of {self.of} seeds failed: {self.errors[0]}"


@dataclass(frozen=True)
class BenchTable:
    """One model, data set and number of facts: a row a method, the untouched model first.

    Args:
        model: Label of the model.
        dataset: Label of the data set.
        forget: How many facts, or "all"; 0 where that is not known.
        seeds: How many.
        columns: A metric each.
        rows: A method each.
    """

    model: str
    dataset: str
    forget: int | str
    seeds: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """What was measured on what."""
        facts = f"{self.forget} facts" if self.forget else "facts"
        over = f"mean ± standard deviation over {self.seeds} seeds" if self.seeds > 1 else "one seed"
        return f"{self.dataset} on {self.model}: {facts}, {over}"


def blocks(cells: Sequence[CellResult]) -> dict[Block, dict[str, list[CellResult]]]:
    """Return cells by what they are compared within, then by method, both in the grid's order."""
    found: dict[Block, dict[str, list[CellResult]]] = {}
    for result in cells:
        found.setdefault(result.cell.block, {}).setdefault(result.cell.method, []).append(result)
    return found


def metric_of(name: str) -> str:
    """Return the metric behind a measurement: one that measures several names them `metric/key`."""
    return name.partition("/")[0]


def tables(cells: Sequence[CellResult], better: Mapping[str, str], config: BenchConfig) -> list[BenchTable]:
    """Return one table a block.

    Args:
        cells: In the grid's order.
        better: Direction by metric.
        config: Which columns are shown.
    """
    return [_table(by_method, better, config) for by_method in blocks(cells).values()]


def _table(
    by_method: Mapping[str, list[CellResult]], better: Mapping[str, str], config: BenchConfig
) -> BenchTable:
    results = [result for found in by_method.values() for result in found]
    measured = dict.fromkeys(name for result in results for name in (*result.before, *result.after))
    asked = config.metrics or list(dict.fromkeys(metric_of(name) for name in measured))
    wanted = [name for metric in asked for name in measured if metric in (name, metric_of(name))]
    columns = tuple(_column(name, results, better) for name in wanted)
    untouched: dict[str, dict[int, Measurement]] = {name: {} for name in wanted}
    for result in results:  # the same model and facts, whatever the method: the first of each seed speaks
        for name in wanted:
            if name in result.before:
                untouched[name].setdefault(result.cell.seed, result.before[name])
    after = {
        name: {
            method: {r.cell.seed: r.after[name] for r in found if name in r.after}
            for method, found in by_method.items()
        }
        for name in wanted
    }
    seeds = len({result.cell.seed for result in results})
    rows = [_row(UNTOUCHED, columns, untouched, {}, seeds, [])]
    bold = {column.metric: not_worse(after[column.metric], column.better) for column in columns}
    for method, found in by_method.items():
        values = {name: after[name][method] for name in wanted}
        errors = [result.error for result in found if result.error]
        rows.append(_row(method, columns, values, bold, seeds, errors))
    first = results[0].cell
    facts = next((result.facts for result in results if result.facts), first.forget or 0)
    return BenchTable(first.model, first.dataset, facts, seeds, columns, tuple(rows))


def _column(name: str, results: Sequence[CellResult], better: Mapping[str, str]) -> Column:
    about = next(m for r in results for m in (r.before.get(name), r.after.get(name)) if m is not None)
    label = next((r.text_label for r in results if r.text_label), "") if about.grain == "token" else ""
    return Column(name, better.get(metric_of(name), "unchanged"), about.unit, label)


def _row(
    method: str,
    columns: Sequence[Column],
    values: Mapping[str, Mapping[int, Measurement]],
    bold: Mapping[str, set[str]],
    seeds: int,
    errors: Sequence[str],
) -> Row:
    entries = tuple(
        Entry(
            spread([m.value for _, m in sorted(values[column.metric].items())]),
            column.unit,
            method in bold.get(column.metric, ()),
        )
        for column in columns
    )
    return Row(method, entries, seeds - len(errors), seeds, tuple(dict.fromkeys(errors)))


def _digits(found: Spread, unit: str) -> tuple[str, str]:
    """Return mean and deviation with equally many decimals: one of a percentage, else three significant figures."""
    mean = found.mean
    if not math.isfinite(mean):
        return ("∞" if mean > 0 else str(mean)), ""
    if abs(mean) >= 1e5:
        return f"{mean:.2e}", "" if found.sd is None else f"{found.sd:.1e}"
    places = 1 if unit == "%" or abs(mean) >= 100 else 2 if abs(mean) >= 1 else 3
    return f"{mean:.{places}f}", "" if found.sd is None else f"{found.sd:.{places}f}"


# ---------------------------------------------------------------------------------------------- as text


def markdown(found: Sequence[BenchTable], title: str = "") -> str:
    """Tables as Markdown, with a note on what bold means."""
    lines = [f"# {_md(title)}", ""] if title else []
    for table in found:
        lines += [f"**{_md(table.title)}**", ""]
        lines.append(f"| method | {' | '.join(_md(column.title) for column in table.columns)} |")
        lines.append("| --- |" + " ---: |" * len(table.columns))
        for row in table.rows:
            shown = [f"**{entry.text}**" if entry.bold else entry.text for entry in row.entries]
            lines.append(f"| {_md(row.method)} | {' | '.join(shown)} |")
        lines.append("")
        notes = [f"{row.method}: {row.note}" for row in table.rows if row.note]
        notes += [f"{column.title}: {column.note}" for column in table.columns if column.note]
        lines += [f"- {_md(note)}" for note in notes] + ([""] if notes else [])
    lines += [BOLD, ""]
    return "\n".join(lines)


BOLD = (
    "Bold: the best mean of a column, and every method whose seed-by-seed difference to it is not significant "
    "(paired t interval, 95 %; with one seed: overlap of the bootstrap intervals over facts). No bold where nothing "
    "is shown to be worse than the best. The untouched model does not compete."
)


def _md(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in flat)


def latex(found: Sequence[BenchTable], title: str = "") -> str:
    """Tables as LaTeX for the packages booktabs and amsmath, one `table` each."""
    lines = [f"% {' '.join(title.split())}"] if title else []
    lines += ["% \\usepackage{booktabs}", ""]
    for table in found:
        lines += [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex_text(table.title)}}}",
            f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            "\\toprule",
            " & ".join(["method", *(latex_text(column.title) for column in table.columns)]) + " \\\\",
            "\\midrule",
        ]
        for number, row in enumerate(table.rows):
            shown = [_latex_entry(entry) for entry in row.entries]
            lines.append(" & ".join([latex_text(row.method), *shown]) + " \\\\")
            if number == 0:
                lines.append("\\midrule")
        lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
        lines += [f"% {row.method}: {' '.join(row.note.split())}" for row in table.rows if row.note]
    lines += [f"% {BOLD}", ""]
    return "\n".join(lines)


def _latex_entry(entry: Entry) -> str:
    mean, _, sd = entry.text.partition(" ± ")
    mean = "$\\infty$" if mean == "∞" else "--" if mean == "-" else mean
    mean = f"\\textbf{{{mean}}}" if entry.bold else mean
    return f"{mean} $\\pm$ {sd}" if sd else mean


_LATEX = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "$": "\\$",
    "&": "\\&",
    "%": "\\%",
    "#": "\\#",
    "_": "\\_",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "↓": "$\\downarrow$",
    "↑": "$\\uparrow$",
    "±": "$\\pm$",
}


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
