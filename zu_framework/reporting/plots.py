"""Plots in the page's own style: drawn by matplotlib, put inline as SVG whose colours are the page's CSS variables.

Colours are exact light-mode values, so the same figure can be saved to a file as it is; `inline_svg` swaps each of
them for its variable, which the page's dark mode and its print style set otherwise. Panels are small, one idea each:
they stand side by side on a desk and below each other on a phone, where their text is as large as the page's.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision, the pale ones darkened until they stand on white
SERIES = ("#0072b2", "#d55e00", "#009e73", "#b9588f", "#3b97cf", "#c98600", "#4b3a9b", "#7f4f24")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # colour is never the only sign
INK, MUTED, RULE = "#1c2126", "#59636e", "#d8dde3"

VARIABLES: Mapping[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    **{colour: f"--c{number}" for number, colour in enumerate(SERIES, 1)},
}

WIDTH, HEIGHT = 4.3, 3.1  # inches: 310 points, about a phone's width in CSS pixels

# matplotlib's own types name every key of every version
STYLE: Any = {
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "both",
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: it can be selected, and takes the page's font
    "svg.hashsalt": "zu",  # the same data give the same file
    "text.color": INK,
    "text.parse_math": False,  # a fact with a $ in it is no formula
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8.5,
}


@contextmanager
def panel(title: str = "", width: float = WIDTH, height: float = HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    """Open a figure with one axes, in the page's style.

    Draw inside the block, and call `inline_svg` or `savefig` there too.

    Args:
        title: Above the axes.
        width: In inches.
        height: In inches.

    Yields:
        The figure and its axes.
    """
    from cycler import cycler  # here, not above: runs without a page need not wait for matplotlib
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**STYLE, "axes.prop_cycle": cycler(color=SERIES)}):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots()
        if title:
            axes.set_title(title)
        yield figure, axes


def inline_svg(figure: Figure, name: str, described: str) -> Markup:
    """Turn a figure into an inline SVG in the page's colours.

    Args:
        figure: Of `panel`.
        name: Unique on the page.
        described: What it shows, for those who cannot see it.

    Returns:
        The SVG element.
    """
    written = StringIO()
    figure.savefig(
        written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = ElementTree.fromstring(written.getvalue())
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    _clean(root, prefix)
    box = root.get("viewBox", "")
    inside = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
    return Markup('<svg class="plot" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        box, described, Markup(inside)
    )


def _clean(element: ElementTree.Element, prefix: str) -> None:
    """Drop metadata and namespaces, make ids the page's, and colours its variables. Text was escaped by the writer."""
    for child in list(element):
        if _local(child.tag) in ("metadata", "style", "title"):
            element.remove(child)
        else:
            _clean(child, prefix)
    element.tag = _local(element.tag)
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        key = _local(key)
        if key == "id":
            value = f"{prefix}-{value}"
        elif key == "href":
            value = value.replace("#", f"#{prefix}-", 1)
        else:
            value = value.replace("url(#", f"url(#{prefix}-")
            value = re.sub(r"#[0-9a-f]{6}\b", _variable, value)
            value = re.sub(r"font-family: [^;]*", "font-family: var(--sans)", value)
        element.set(key, value)


def _variable(found: re.Match[str]) -> str:
    colour = found.group()
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2]
