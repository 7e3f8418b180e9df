"""The heat map of a trace: layers across, token classes down, one panel a kind of state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from zu_plugins.locators.curves import Curves
from zu_plugins.locators.facts import CLASSES

TITLES = {"hidden": "hidden state", "mlp": "MLP output", "attention": "attention output"}
COLOURS = "cividis"  # even in lightness, and the same to colour-blind eyes
NUMBERS = 12  # layers up to which each cell shows its number


def draw(curves: Curves, picked: Sequence[int], path: Path) -> None:
    """Write the heat map as PNG.

    Cells are effects in percentage points; nothing was tried where a cell is hatched.
    """
    shown = {kind: 100 * values.T for kind, values in curves.mean.items()}  # (classes, layers)
    tried = torch.cat([values[~values.isnan()] for values in shown.values()])
    low, high = min(0.0, float(tried.min())), max(float(tried.max()), 1e-9)
    layers = next(iter(shown.values())).shape[1]
    wide = min(max(2.6, 0.62 * layers), 12.0)
    figure = Figure(figsize=(len(shown) * wide + 3.0, 3.6), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    image: Any = None
    for axis, (kind, values) in zip(axes, shown.items(), strict=True):
        axis.set_facecolor("white")
        axis.patch.set(hatch="///", edgecolor="0.8")
        image = axis.imshow(values.numpy(), cmap=COLOURS, vmin=low, vmax=high, aspect="auto")
        window = curves.settings["window"]
        title = TITLES.get(kind, kind)
        axis.set_title(title if kind == "hidden" or window == 1 else f"{title}, {window} layers", fontsize=10)
        axis.set_xlabel("layer")
        axis.set_xticks(range(0, layers, max(1, layers // 12)))
        axis.set_yticks(range(len(CLASSES)), CLASSES)
        if kind == "mlp":
            for layer in picked:
                axis.axvspan(
                    layer - 0.5, layer + 0.5, ymin=0, ymax=1, fill=False, edgecolor="white", linewidth=2.2
                )
                axis.axvspan(
                    layer - 0.5, layer + 0.5, ymin=0, ymax=1, fill=False, edgecolor="black", linewidth=0.9
                )
        if layers <= NUMBERS:
            for row, line in enumerate(values.tolist()):
                for column, value in enumerate(line):
                    if value == value:
                        dark = value < low + 0.55 * (high - low)
                        axis.text(
                            column,
                            row,
                            f"{value:.0f}" if abs(value) >= 0.5 else "0",
                            ha="center",
                            va="center",
                            fontsize=8,
                            color="white" if dark else "black",
                        )
    figure.colorbar(image, ax=list(axes), label="effect on the answer's probability (points)")
    figure.suptitle(
        f"{curves.name}: {curves.facts} facts, probability of the answer {100 * curves.clean:.0f} % clean, "
        f"{100 * curves.corrupted:.0f} % corrupted; boxed: layers picked",
        fontsize=11,
    )
    figure.savefig(path, dpi=130, metadata={"Software": None})
