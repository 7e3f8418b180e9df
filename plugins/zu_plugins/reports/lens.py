"""At which layer the true answer appears, before and after: the logit lens."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from zu_framework.reporting import SERIES, RunReport, fill, inline_svg, panel


def section(run: RunReport) -> Markup:
    """A panel for the forget facts, one for those to retain: median and quartiles over facts."""
    held = run.analysis is not None and "lens/before" in run.analysis.tensors
    panels = [one for one in (_set(run, name) for name in ("forget", "retain")) if one] if held else []
    agrees = bool(run.analysis and run.analysis.about.get("lens", {}).get("agrees", True))
    why = {k: v for k, v in (run.facts or {}).get("failed", {}).items() if k.startswith("lens")}
    return fill(
        "lens.html",
        "zu_plugins.reports",
        panels=panels,
        missing=run.analysis is None,
        agrees=agrees,
        failed=why,
        edited=run.analysis.about["edited_layers"] if run.analysis else [],
    )


def _set(run: RunReport, name: str) -> dict[str, Any] | None:
    assert run.analysis is not None and run.facts is not None
    facts = [run.facts["facts"][at]["set"] for at in run.analysis.about["read"]]
    rows = [at for at, found in enumerate(facts) if found == name]
    if not rows:
        return None
    title = {"forget": "Facts to forget", "retain": "Facts to retain"}[name]
    from matplotlib.ticker import MaxNLocator

    with panel(f"{title} ({len(rows)})") as (figure, axes):
        for layer in run.analysis.about["edited_layers"]:
            axes.axvline(layer, color=SERIES[2], linewidth=5, alpha=0.18)
        ends = []
        for when, colour, style, face in (
            ("before", SERIES[0], "--", "none"),
            ("after", SERIES[1], "-", SERIES[1]),
        ):
            read = run.analysis.tensors[f"lens/{when}"][rows].double()  # (m, layers)
            layers = range(read.shape[1])
            low, middle, high = (read.quantile(q, dim=0).tolist() for q in (0.25, 0.5, 0.75))
            axes.fill_between(layers, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(
                layers, middle, color=colour, linestyle=style, marker="o", markerfacecolor=face, label=when
            )
            ends.append(f"{when} {middle[-1]:.3f}")
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("output of layer")
        axes.set_ylabel("probability of the answer")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.legend(loc="best")
        described = (
            f"{title}: median probability of the answer's first token by layer; at the last {', '.join(ends)}"
        )
        return {"plot": inline_svg(figure, f"lens-{name}", described), "ends": ", then ".join(ends)}
