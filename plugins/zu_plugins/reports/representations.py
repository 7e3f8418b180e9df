"""Where the sites' outputs lie on forget and retain prompts, before and after: two principal components."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from zu_framework.reporting import SERIES, RunReport, fill, inline_svg, panel

LOOKS = {"forget": (SERIES[1], "o"), "retain": (SERIES[0], "s")}


def section(run: RunReport) -> Markup:
    """A panel a site."""
    outputs = run.analysis.about["outputs"] if run.analysis else []
    why = {k: v for k, v in (run.facts or {}).get("failed", {}).items() if k.startswith("representations")}
    panels = [_site(run, site) for site in outputs]
    return fill(
        "representations.html", "zu_plugins.reports", panels=panels, missing=run.analysis is None, failed=why
    )


def _site(run: RunReport, site: dict[str, Any]) -> dict[str, Any]:
    assert run.analysis is not None and run.facts is not None
    before, after, moved = (
        run.analysis.tensors[f"outputs/{site['site']}/{part}"] for part in ("before", "after", "moved")
    )
    sets = [run.facts["facts"][at]["set"] for at in run.analysis.about["read"]]
    shares = [100 * share for share in site["explained"]] + [0.0, 0.0]
    medians = {}
    with panel(site["site"]) as (figure, axes):
        for name in ("retain", "forget"):
            rows = [at for at, found in enumerate(sets) if found == name]
            if not rows:
                continue
            colour, marker = LOOKS[name]
            medians[name] = float(moved[rows].median())
            for (x0, y0), (x1, y1) in zip(before[rows].tolist(), after[rows].tolist(), strict=True):
                axes.plot([x0, x1], [y0, y1], color=colour, linewidth=0.6, alpha=0.5)
            for states, face, when in ((before, "none", "before"), (after, colour, "after")):
                axes.plot(
                    states[rows, 0].tolist(),
                    states[rows, 1].tolist(),
                    linestyle="none",
                    marker=marker,
                    markersize=4.5,
                    markerfacecolor=face,
                    markeredgecolor=colour,
                    markeredgewidth=1.1,
                    label=f"{name}, {when}",
                )
        axes.set_xlabel(f"first component ({shares[0]:.0f} % of variance)")
        axes.set_ylabel(f"second ({shares[1]:.0f} %)")
        figure.legend(loc="outside lower center", ncols=2)
        told = ", ".join(f"{name} outputs moved by {100 * m:.1f} % (median)" for name, m in medians.items())
        drawn = inline_svg(
            figure, f"pca-{site['site']}", f"Outputs of {site['site']} before and after: {told}"
        )
    return {"plot": drawn, "site": site["site"], "medians": medians}
