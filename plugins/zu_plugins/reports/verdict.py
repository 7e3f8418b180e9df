"""The verdict first: was it forgotten, is the model intact; then what the guard predicted, and why these layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Any

from markupsafe import Markup

from zu_framework.reporting import SERIES, RunReport, fill, inline_svg, panel


def section(run: RunReport) -> Markup:
    """Headline, facts that were not known, predictions and sinks, the price curve where the run has one."""
    verdict = run.verdict or {}
    predicted = [
        (site, step["guard"].get("text"), step["guard"].get("facts"), step.get("relative_change"))
        for site, steps in run.sites.items()
        for step in steps
        if step.get("guard")
    ]
    sinks = next((event for event in run.events if event.get("event") == "sinks"), {})
    curve = run.curves.get("prices")
    return fill(
        "verdict.html",
        "zu_plugins.reports",
        verdict=verdict,
        predicted=predicted,
        limits=run.config.get("guard") or {},
        sinks=sorted(sinks.get("written", {}).items(), key=lambda item: -item[1]["ratio"]),
        curve=None if curve is None else _drawn(curve["layers"], curve["picked"]),
    )


def _drawn(layers: Sequence[Mapping[str, Any]], picked: Sequence[int]) -> Markup:
    """Prices by layer; edited layers filled, sinks as crosses below."""
    # no line over the gap that a layer without a price leaves
    prices = {one["layer"]: nan if one["price"] is None else one["price"] for one in layers}
    sinks = [one["layer"] for one in layers if one["sink"]]
    with panel(height=2.6) as (figure, axes):
        axes.plot(list(prices), list(prices.values()), "o-", color=SERIES[0], markersize=4, linewidth=1)
        axes.plot(
            picked, [prices[layer] for layer in picked], "o", color=SERIES[1], markersize=8, label="edited"
        )
        low = min(price for price in prices.values() if not isnan(price))
        if sinks:
            axes.plot(sinks, [low] * len(sinks), "x", color=SERIES[1], label="writes an attention sink")
        axes.set_xlabel("layer")
        axes.set_ylabel("spill / fit")
        axes.legend()
        return inline_svg(figure, "prices", f"The price of an edit by layer; layers {picked} were edited")
