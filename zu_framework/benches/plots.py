"""The plots of a bench: what is forgotten against what is retained, and what each method costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zu_framework.benches.comparison import spread
from zu_framework.benches.records import MEASURING, CellResult
from zu_framework.benches.tables import UNTOUCHED
from zu_framework.problem import Measurement
from zu_framework.reporting import MARKERS, SERIES, inline_svg, panel
from zu_framework.reporting.plots import INK, MUTED

# phases of a run, by what the reader of a cost plot asks for; whatever else there is counts as reading
PARTS: Mapping[str, str] = {"targets": "targets", "solve": "solve", "write": "write"}
OTHER = "contexts and reading"


@dataclass(frozen=True)
class Scale:
    """A metric on an axis.

    Args:
        metric: Its name.
        better: "lower" or "higher".
        unit: "%" or "".
    """

    metric: str
    better: str
    unit: str

    @property
    def label(self) -> str:
        """Name, unit and direction."""
        unit = f", {self.unit}" if self.unit else ""
        wish = f" ({self.better} is better)" if self.better in ("lower", "higher") else ""
        return f"{self.metric.replace('_', ' ')} after{unit}{wish}"


def signs(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and mark of each method: pairs, so that no two are alike before sixty-four."""
    count = len(SERIES)
    return {m: (SERIES[i % count], MARKERS[(i + i // count) % len(MARKERS)]) for i, m in enumerate(methods)}


def tradeoff(
    by_method: Mapping[str, Sequence[CellResult]], across: Scale, up: Scale, name: str, title: str = ""
) -> Markup | None:
    """One mark a method at its means, bars of one standard deviation over seeds; None where nothing is measured."""
    drawn = []
    with panel(title, width=5.4, height=4.4) as (figure, axes):
        before = [r for found in by_method.values() for r in found if not r.error]
        start = _point([(r.before.get(across.metric), r.before.get(up.metric)) for r in before])
        if start is not None:
            axes.plot(start[0], start[1], "o", mfc="none", mec=INK, ms=9, label=UNTOUCHED, ls="none")
            drawn.append(f"{UNTOUCHED} {start[0]:.3g}/{start[1]:.3g}")
        for method, (colour, mark) in signs(list(by_method)).items():
            found = [r for r in by_method[method] if not r.error]
            point = _point([(r.after.get(across.metric), r.after.get(up.metric)) for r in found])
            if point is None:
                continue
            x, y, x_bar, y_bar = point
            if x_bar or y_bar:
                axes.errorbar(
                    x, y, xerr=x_bar, yerr=y_bar, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5
                )
            axes.plot(x, y, mark, color=colour, ms=7, ls="none", label=method)
            drawn.append(f"{method} {x:.3g}/{y:.3g}")
        if not drawn:
            return None
        axes.set_xlabel(across.label)
        axes.set_ylabel(up.label)
        _margins(axes, across, up)
        figure.legend(loc="outside lower center", ncols=3, handletextpad=0.4, columnspacing=1.2)
        said = f"{across.metric} and {up.metric} after each method: {'; '.join(drawn)}"
        return inline_svg(figure, name, said)


def _margins(axes: Axes, across: Scale, up: Scale) -> None:
    """Percentages from 0 to 100, with room for the marks at both ends; the wanted corner is named."""
    if across.unit == "%":
        axes.set_xlim(-6, 106)
    if up.unit == "%":
        axes.set_ylim(-6, 106)
    if across.better in ("lower", "higher") and up.better in ("lower", "higher"):
        x, side = (0.02, "left") if across.better == "lower" else (0.98, "right")
        y, edge = (0.98, "top") if up.better == "higher" else (0.02, "bottom")
        axes.text(
            x,
            y,
            "best",
            transform=axes.transAxes,
            ha=side,
            va=edge,
            color=MUTED,
            fontsize=8.5,
            style="italic",
        )


def _point(
    pairs: Sequence[tuple[Measurement | None, Measurement | None]],
) -> tuple[float, float, float, float] | None:
    """Return means and standard deviations of the pairs that are whole and finite."""
    whole = [
        (x.value, y.value)
        for x, y in pairs
        if x is not None and y is not None and math.isfinite(x.value) and math.isfinite(y.value)
    ]
    xs, ys = spread([x for x, _ in whole]), spread([y for _, y in whole])
    if xs is None or ys is None:
        return None
    return xs.mean, ys.mean, xs.sd or 0.0, ys.sd or 0.0


def cost(by_method: Mapping[str, Sequence[CellResult]], name: str, title: str = "") -> Markup | None:
    """Return a plot of mean seconds by part, one bar a method; None where no cell is done."""
    spent = {
        method: _parts([r for r in found if not r.error])
        for method, found in by_method.items()
        if any(not r.error for r in found)
    }
    if not spent:
        return None
    with panel(title, width=5.4, height=1.3 + 0.32 * len(spent)) as (figure, axes):
        _bars(figure, spent)
        axes.set_xlabel("seconds an edit, mean over seeds")
        axes.grid(axis="y", visible=False)
        said = "; ".join(f"{method} {sum(parts.values()):.3g} s" for method, parts in spent.items())
        return inline_svg(figure, name, f"seconds by method: {said}")


def _parts(results: Sequence[CellResult]) -> dict[str, float]:
    found = {OTHER: 0.0, **dict.fromkeys(PARTS.values(), 0.0)}
    for result in results:
        for phase, seconds in result.cost().items():
            found[PARTS.get(phase, OTHER)] += seconds / len(results)
    return found


def _bars(figure: Figure, spent: Mapping[str, Mapping[str, float]]) -> None:
    axes = figure.axes[0]
    places = range(len(spent))
    left = [0.0] * len(spent)
    for number, part in enumerate((OTHER, *PARTS.values())):
        widths = [parts[part] for parts in spent.values()]
        axes.barh(places, widths, left=left, height=0.62, color=SERIES[number], label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    longest = max(left) or 1.0
    for place, total in zip(places, left, strict=True):
        axes.text(total + 0.012 * longest, place, f"{total:.3g} s", va="center", color=MUTED, fontsize=8.5)
    axes.set_yticks(list(places), list(spent))
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.16)
    figure.legend(loc="outside lower center", ncols=4, handlelength=1, columnspacing=1.2)


def statistics_seconds(results: Sequence[CellResult]) -> float:
    """Return the longest time that a cell spent on statistics of general text: what the first one paid for all."""
    return max((r.seconds.get("background", 0.0) for r in results), default=0.0)


def measuring_seconds(results: Sequence[CellResult]) -> float:
    """Return the mean seconds that a cell took to load, measure and save."""
    spent = [sum(r.seconds.get(n, 0.0) for n in MEASURING) for r in results if not r.error]
    return fmean(spent) if spent else 0.0
