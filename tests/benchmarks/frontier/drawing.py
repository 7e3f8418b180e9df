"""Tables and the plot of what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tests.benchmarks.frontier.methods import Method
from tests.benchmarks.frontier.records import Records

COLUMNS = (
    "efficacy",
    "generalization",
    "specificity",
    "retained",
    "answer_probability",
    "perplexity",
    "seconds",
)
HEADS = ("Eff", "Gen", "Spe", "retained", "P(answer)", "PPL x", "s")
PLACES = (1, 1, 1, 1, 3, 3, 1)

# Okabe and Ito's palette, told apart by every common kind of colour vision; shape says the kind once more
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
WIDE = 3.0  # times the untouched perplexity: beyond it the axis is logarithmic
SHAPES = {"editor": "o", "ours": "*", "gradient": "s"}


def tables(records: Records, contestants: Mapping[str, Method]) -> str:
    """Markdown: for each number of facts, the report, and which setting the choice fell on."""
    parts = []
    for facts in records.sizes():
        rows = [f"| method | setting | {' | '.join(HEADS)} |", "| --- " * (len(HEADS) + 2) + "|"]
        rows.append(f"| untouched | | {' | '.join(_base(records, facts))} |")
        draws = 0
        for name, method in contestants.items():
            found = _reported(records, facts, name)
            if found:
                draws = max(draws, len(found))
                setting = next(records.of("report", facts, name))[0].setting
                rows.append(f"| {method.label} | {setting} | {' | '.join(_shown(found))} |")
        parts.append(f"{facts} facts, {draws} draws\n\n" + "\n".join(rows))
    parts += [
        swept for name, m in contestants.items() if not m.report and (swept := _swept(records, name, m))
    ]
    rows = ["| method | setting | cost when choosing |", "| --- | --- | --- |"]
    for name, method in contestants.items():
        if not method.report:
            continue
        chosen = records.chosen(name)
        for setting, cost in sorted(records.costs(name).items(), key=lambda pair: pair[1]):
            mark = " (chosen)" if setting == chosen else ""
            rows.append(f"| {method.label} | {setting}{mark} | {cost:.1f} |")
    return "\n\n".join([*parts, "\n".join(rows)])


def _swept(records: Records, name: str, method: Method) -> str:
    """Markdown of a method that is only looked at: each setting on the draws of the choosing half."""
    rows = []
    for facts in sorted({cell.facts for cell in records.found if cell.method == name}):
        for setting in method.settings:
            found = [
                {**m, "perplexity": m["perplexity"] / records.base(cell)["perplexity"]}
                for cell, m in records.of("choose", facts, name, setting)
            ]
            if found:
                rows.append(f"| {setting} | {facts} | {len(found)} | {' | '.join(_shown(found))} |")
    head = [f"| {method.label} | facts | draws | {' | '.join(HEADS)} |", "| --- " * (len(HEADS) + 3) + "|"]
    return "\n".join([*head, *rows]) if rows else ""


def _reported(records: Records, facts: int, name: str) -> list[dict[str, float]]:
    """A method's measurements, draw by draw; perplexity as a ratio to the untouched model's."""
    return [
        {**found, "perplexity": found["perplexity"] / records.base(cell)["perplexity"]}
        for cell, found in records.of("report", facts, name)
    ]


def _base(records: Records, facts: int) -> list[str]:
    found = [dict(m, perplexity=1.0, seconds=0.0) for _, m in records.of("report", facts, "base")]
    return [*_shown(found)[:-1], ""]


def _shown(found: list[dict[str, float]]) -> list[str]:
    cells = []
    for column, places in zip(COLUMNS, PLACES, strict=True):
        values = [draw[column] for draw in found]
        mean = fmean(values)
        text = f"{mean:.{places}f}" if mean < 1000 else f"{mean:.1e}"
        spread = stdev(values) if len(values) > 1 else 0.0
        if column != "seconds":
            text += f" ± {spread:.{places}f}" if spread < 1000 else f" ± {spread:.0e}"
        cells.append(text)
    return cells


# what a plot shows: what is still answered, against what was lost
ANSWERED = ("efficacy", "generalization")
DAMAGES = (
    ("specificity", "specificity, % (higher is better)"),
    ("retained", "retained, % (higher is better)"),
    ("perplexity", "perplexity, times the untouched (lower is better)"),
)


def plot(records: Records, contestants: Mapping[str, Method], facts: int, path: Path) -> None:
    """Draw forgetting against damage, a mark a method, bars of one standard deviation."""
    found = {m.label: (m.kind, _reported(records, facts, name)) for name, m in contestants.items()}
    scatter(found, DAMAGES, f"{facts} facts: the best corner is bottom right", path)


def scatter(
    found: Mapping[str, tuple[str, Sequence[Mapping[str, float]]]],
    damages: Sequence[tuple[str, str]],
    title: str,
    path: Path,
) -> None:
    """Draw what is still answered against each damage.

    Args:
        found: Kind of each method (a key of `SHAPES`) and what each draw measured, by label; one without draws is not
            drawn.
        damages: Names of what was lost, and their axes' labels; the last falls from left to right, others rise.
        title: Above the plot.
        path: Of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "frontier", "svg.fonttype": "none"}
    from matplotlib import colors, pyplot

    def pale(colour: str) -> tuple[float, ...]:
        return tuple(0.35 * part + 0.65 for part in colors.to_rgb(colour))

    figure, axes = pyplot.subplots(2, len(damages), figsize=(13, 8), sharey="row")
    drawn: list[Any] = []
    labels: list[str] = []
    for number, (label, (kind, draws)) in enumerate(one for one in found.items() if one[1][1]):
        colour = COLOURS[number % len(COLOURS)]
        face = (colour, "white", pale(colour))[number // len(COLOURS) % 3]
        for row, forgotten in enumerate(ANSWERED):
            for column, (damage, _) in enumerate(damages):
                (x, dx), (y, dy) = (_spread([draw[what] for draw in draws]) for what in (damage, forgotten))
                mark = axes[row][column].errorbar(
                    x,
                    y,
                    xerr=dx,
                    yerr=dy,
                    fmt=SHAPES[kind],
                    color=colour,
                    elinewidth=0.6,
                    alpha=0.9,
                    markersize=15 if kind == "ours" else 7,
                    markerfacecolor=face,
                    markeredgecolor=colour,
                    zorder=3 if kind == "ours" else 2,
                )
                if not row and not column:
                    drawn.append(mark)
                    labels.append(label)
    for row, forgotten in enumerate(ANSWERED):
        axes[row][0].set_ylabel(f"{forgotten}, % still answered\n(lower is better)")
        for column, (_, label) in enumerate(damages):
            axes[row][column].set_xlabel(label)
            axes[row][column].set_ylim(-4, 104)
            axes[row][column].grid(alpha=0.3, linewidth=0.5)
        if axes[row][-1].get_xlim()[1] > WIDE:
            axes[row][-1].set_xscale("log")
        axes[row][-1].invert_xaxis()
    figure.suptitle(title)
    figure.legend(drawn, labels, loc="lower center", ncols=5, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.11, 1, 1))
    figure.savefig(path, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _spread(values: list[float]) -> tuple[float, float]:
    finite = [v for v in values if math.isfinite(v)] or [math.nan]
    return fmean(finite), stdev(finite) if len(finite) > 1 else 0.0
