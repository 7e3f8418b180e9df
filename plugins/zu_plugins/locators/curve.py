"""The price of every layer, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PRICE, SINK, PICKED = "#0072B2", "#D55E00", "#BBBBBB"


def draw(layers: Sequence[Mapping[str, Any]], picked: Sequence[int], path: Path) -> None:
    """Write the curve as PNG: prices by layer, the layers that were picked shaded, sinks marked below.

    Args:
        layers: A mapping each: layer, price (None where it was left out), sink, sink_ratio.
        picked: Layers that are edited.
        path: Of the image.
    """
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.add_subplot()
    prices = [one["price"] if one["price"] is not None else nan for one in layers]  # no line over a gap
    axis.plot([one["layer"] for one in layers], prices, "o-", color=PRICE, markersize=4, linewidth=1)
    low = min((price for price in prices if not isnan(price)), default=0.0)
    sinks = [one["layer"] for one in layers if one["sink"]]
    axis.plot(
        sinks, [low] * len(sinks), "x", color=SINK, markersize=8, label="writes an attention sink: left out"
    )
    axis.axvspan(min(picked) - 0.5, max(picked) + 0.5, color=PICKED, alpha=0.5, label="edited", linewidth=0)
    axis.set_xlabel("layer")
    axis.set_ylabel("price of an edit (spill / fit)")
    axis.legend(fontsize=8, frameon=False)
    axis.grid(alpha=0.3, linewidth=0.5)
    figure.savefig(path, dpi=110, metadata={"Software": None})
