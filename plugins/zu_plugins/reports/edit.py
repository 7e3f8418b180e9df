"""What was done to each weight: rank, size, singular values, and what is left of the way to the targets."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from markupsafe import Markup

from zu_framework.reporting import MARKERS, SERIES, RunReport, fill, inline_svg, panel, site_notes


def section(run: RunReport) -> Markup:
    """A row a weight, the most changed first; the singular values of those that were decomposed."""
    spectra = {one["site"]: one for one in run.analysis.about["spectra"]} if run.analysis else {}
    rows = [
        _row(name, passes, spectra.get(name), run.records.get(name, {})) for name, passes in run.sites.items()
    ]
    rows.sort(key=lambda row: -(row["relative"] or 0.0))
    return fill(
        "edit.html",
        "zu_plugins.reports",
        rows=rows,
        notes=site_notes(run.sites),
        plot=_plot(run),
        missing=run.analysis is None,
        decomposed=len(spectra),
        partly=any(not one["exact"] for one in spectra.values()),
    )


def _row(
    name: str, passes: list[Mapping[str, Any]], spectrum: Mapping[str, Any] | None, record: Mapping[str, Any]
) -> dict[str, Any]:
    last = passes[-1] if passes else {}
    residuals = [
        step["solver"]["residual"] for step in passes if _number(step.get("solver", {}).get("residual"))
    ]
    return {
        "name": name,
        "passes": len(passes),
        "shape": "\u00d7".join(map(str, spectrum["shape"])) if spectrum else None,
        "rank": spectrum["rank"] if spectrum else None,
        "norm": spectrum["norm"] if spectrum else None,
        "relative": last.get("relative_change"),
        "residual": median(residuals) if residuals else None,
        "rounding": max((step.get("rounding_loss", 0.0) for step in passes), default=None),
        "hash_before": _sha256(record.get("before")),
        "hash_after": _sha256(record.get("after")),
    }


def _sha256(digest: Any) -> str:
    """The hash of a tensor's digest, which names its dtype and shape before it."""
    return str(digest or "").rpartition(":")[2]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plot(run: RunReport) -> Markup | None:
    if run.analysis is None:
        return None
    curves = [
        (one["site"], run.analysis.tensors[f"spectrum/{one['site']}"])
        for one in run.analysis.about["spectra"]
    ]
    curves = [(name, values[values > 0]) for name, values in curves]
    curves = [(name, values) for name, values in curves if len(values)]
    if not curves:
        return None
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    with panel("Singular values") as (figure, axes):
        for at, (name, values) in enumerate(curves):
            axes.plot(
                range(1, len(values) + 1),
                values.tolist(),
                color=SERIES[at % len(SERIES)],
                marker=MARKERS[at % len(MARKERS)],
                markersize=4,
                linewidth=1.2,
                label=name,
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the default is a formula
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("number, largest first")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.legend(loc="best")
        described = "; ".join(f"{name}: {float(v[0]):.3g} down to {float(v[-1]):.3g}" for name, v in curves)
        return inline_svg(figure, "spectra", f"Singular values of the change of each weight: {described}")
