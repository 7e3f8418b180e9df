"""The table of a run: each metric before and after, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from zu_framework.problem import Measurement

ONE_LINE = 120  # columns of a terminal that hold values and intervals side by side


def before_after_table(
    before: Mapping[str, Measurement],
    after: Mapping[str, Measurement],
    text_label: str = "",
    *,
    title: str = "before and after",
    sides: tuple[str, str] = ("before", "after"),
    width: int = 80,
) -> Table:
    """Lay out the table of a run, a row a metric.

    Args:
        before: Measurements by name; its order is the table's.
        after: Measurements by name.
        text_label: What a reader must know of the text behind per-token metrics, set beside their names.
        title: Above the table.
        sides: What the two columns are called.
        width: Columns of the terminal; intervals stand below their values, or beside them where it is wide.

    Returns:
        The table, with "-" where one side was not measured, and no column for a side of which nothing was.
    """
    measured = [one for side in (before, after) for one in side.values()]
    if any(one.low is not None for one in measured):
        title += ", with 95 % intervals over facts"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("metric", no_wrap=True)
    columns = [(name, side) for name, side in zip(sides, (before, after), strict=True) if side]
    for name, _ in columns:
        table.add_column(escape(name), justify="right", min_width=14)
    table.add_column("counted")
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        about = new or old
        label = f" ({text_label})" if text_label and about and about.grain == "token" else ""
        cells = [_cell(side.get(name), beside=width >= ONE_LINE) for _, side in columns]
        table.add_row(escape(name + label), *cells, escape(counted(old, new)))
    return table


def _cell(measured: Measurement | None, *, beside: bool) -> str:
    bounds = interval_shown(measured)
    if not bounds:
        return escape(shown(measured))
    value = escape(shown(measured))
    return f"{value} [dim]({bounds})[/dim]" if beside else f"{value}\n[dim]{bounds}[/dim]"


def shown(measured: Measurement | None) -> str:
    """The value with its unit, to three or four significant figures."""
    return (
        "-" if measured is None else f"{number_shown(measured.value, measured.unit)} {measured.unit}".rstrip()
    )


def interval_shown(measured: Measurement | None) -> str:
    """Its interval, "80.0 to 100.0"; "" where it has none, or one without visible width."""
    if measured is None or measured.low is None or measured.high is None:
        return ""
    low, high = (number_shown(bound, measured.unit, fewer=1) for bound in (measured.low, measured.high))
    return f"{low} to {high}" if low != high else ""


def number_shown(value: float, unit: str = "", *, fewer: int = 0) -> str:
    """Return a value as tables print it: to three or four significant figures, a percentage to a tenth.

    Args:
        value: Any number.
        unit: Its measurement's unit.
        fewer: Figures to leave off.

    Returns:
        The number without its unit.
    """
    if not math.isfinite(value):
        return str(value)
    if unit == "%":
        return f"{value:.1f}"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{2 - fewer}e}"
    return f"{value:.{4 - fewer}f}" if abs(value) < 1 else f"{value:.2f}"


def counted(before: Measurement | None, after: Measurement | None) -> str:
    """Say what two values are made of: "10/10, then 1/10 facts" for rates, "1520 tokens" for means.

    Args:
        before: None where it was not measured.
        after: None where it was not measured.

    Returns:
        The text. Of a per-token metric, such as perplexity, it begins with the ratio of after to before.
    """
    sides = [side for side in (before, after) if side is not None]
    if not sides:
        return ""
    rates = all(side.unit == "%" for side in sides)
    parts = [
        f"{side.numerator:g}/{side.denominator:g}" if rates else f"{side.denominator:g}" for side in sides
    ]
    grain = sides[-1].grain + ("" if sides[-1].denominator == 1 else "s")
    made_of = f"{', then '.join(dict.fromkeys(parts))} {grain}"
    if grain.startswith("token") and before is not None and after is not None and before.value > 0:
        made_of = f"times {after.value / before.value:.3f}; {made_of}"  # damage is a ratio, whatever the text
    return made_of
