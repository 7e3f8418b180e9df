"""The table of a run: each metric before and after, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from zu_framework.types import Measurement


def before_after_table(
    before: Mapping[str, Measurement], after: Mapping[str, Measurement], text_label: str = ""
) -> Table:
    """One row a metric, in the order of `before`; "-" where one side was not measured.

    text_label: what a reader must know of the text behind per-token metrics, set beside their names.
    """
    table = Table(title="before and after", title_justify="left")
    table.add_column("metric")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("counted")
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        about = new or old
        label = f" ({text_label})" if text_label and about and about.grain == "token" else ""
        table.add_row(escape(name + label), shown(old), shown(new), counted(old, new))
    return table


def shown(measured: Measurement | None) -> str:
    """The value with its unit, to three or four significant figures."""
    if measured is None:
        return "-"
    value = measured.value
    if measured.unit == "%":
        return f"{value:.1f} %"
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        number = f"{value:.2e}"
    else:
        number = f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
    return f"{number} {measured.unit}".rstrip()


def counted(before: Measurement | None, after: Measurement | None) -> str:
    """What the values are made of: "10/10, then 1/10 facts" for rates, "1520 tokens" for means.

    Of a per-token metric, such as perplexity, it gives the ratio of after to before too.
    """
    sides = [side for side in (before, after) if side is not None]
    if not sides:
        return ""
    rates = all(side.unit == "%" for side in sides)
    parts = [
        f"{side.numerator:g}/{side.denominator:g}" if rates else f"{side.denominator:g}" for side in sides
    ]
    grain = sides[-1].grain + ("" if sides[-1].denominator == 1 else "s")
    said = f"{', then '.join(dict.fromkeys(parts))} {grain}"
    if grain.startswith("token") and before is not None and after is not None and before.value > 0:
        said = f"times {after.value / before.value:.3f}; {said}"  # damage is a ratio, whatever the text
    return said
