"""The page of an audit: the verdict, a row a variant with its references, and every fact that came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from zu_framework.errors import RunFolderError
from zu_framework.files import write_text
from zu_framework.reporting.pages import PageSection, fill, page
from zu_framework.reporting.plots import SERIES, inline_svg, panel
from zu_framework.store.audits import read_audit

PAGE_FILE = "audit.html"
# reference -> the page's colour variable; the recovered share has the first
MARKS = {"untouched": "--c2", "twin": "--c3", "never known": "--c6", "retained": "--c7"}


def write_audit_page(folder: str | Path) -> Path:
    """Write audit.html into an audit's folder, from its metrics.json alone.

    Args:
        folder: `audit/` of a run folder, or an audit's own.

    Returns:
        The page's path.

    Raises:
        RunFolderError: The folder holds no audit, or cannot be written.
    """
    folder = Path(folder)
    found = read_audit(folder)
    if found is None:
        raise RunFolderError(f"{folder} holds no audit: run zu audit first")
    path = folder / PAGE_FILE
    write_text(path, audit_page(found), private=True)
    return path


def audit_page(found: Mapping[str, Any]) -> str:
    """Return the page as one HTML text."""
    verdict = str(found["verdict"])
    counts = f"{found['asked']} facts were asked."
    if found.get("known") is not None:
        counts = (
            f"{found['asked']} facts were asked: {found['known']} that the untouched model answers, {found['lost']} of "
            "these lost to the edit."
        )
    sections = [
        PageSection("attacks", "Attack by attack", audit_rows(found), counts),
        PageSection("leaks", "What came back", fill("audit_leaks.html", rows=_leaks(found))),
    ]
    curves = [one for one in _ordered(found) if one.get("curve")]
    if curves:
        drawn = Markup("").join(_curve(one) for one in curves)
        sections.append(PageSection("curves", "Step by step, layer by layer", drawn))
    if found.get("notes"):
        sections.append(PageSection("notes", "Not attacked", fill("audit_notes.html", notes=found["notes"])))
    return page(
        verdict[:1].upper() + verdict[1:],
        sections,
        kicker=f"Audit of {found.get('model', 'a model')}",
        lead=f"An attack holds where it gets at most {found['limit']:g} percentage points more than what nobody knows.",
        footer="Made by zu_framework. One file; it loads nothing. It names facts to be forgotten: keep it private.",
    )


def audit_rows(found: Mapping[str, Any]) -> Markup:
    """Return the table of an audit, worst first: recovered share, references on a line from 0 to 100 %, seconds.

    Args:
        found: What `metrics.json` of an audit holds.

    Returns:
        HTML.
    """
    rows = []
    for one in _ordered(found):
        main = one.get("recovered") or one.get("answered")
        marks = [
            {"name": name, "value": one["references"][name]["value"], "colour": colour}
            for name, colour in MARKS.items()
            if name in one["references"]
        ]
        rows.append({**one, "main": main, "marks": marks, "paraphrases": one["report"].get("paraphrases")})
    shown = [name for name in MARKS if any(name in one["references"] for one in found["findings"])]
    return fill("audit_rows.html", rows=rows, shown=shown, colours=MARKS)


def _ordered(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    def above_chance(one: Mapping[str, Any]) -> float:
        main = one.get("recovered") or one.get("answered")
        return float(main["value"]) - float(one["chance"]) if main else -100.0

    return sorted(found["findings"], key=above_chance, reverse=True)


def _leaks(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every fact that came back, once, with the variants that got it and one prompt that did."""
    facts: dict[str, dict[str, Any]] = {}
    for one in _ordered(found):
        for leak in one["leaks"]:
            entry = facts.setdefault(leak["fact"], {**leak, "variants": []})
            entry["variants"].append(one["variant"])
    return sorted(facts.values(), key=lambda entry: -len(entry["variants"]))


def _curve(one: Mapping[str, Any]) -> Markup:
    """A plot of a variant's series over their first one (steps or layers)."""
    series: Mapping[str, Sequence[float]] = one["curve"]
    across, *others = series
    with panel(one["variant"], height=2.4) as (figure, axes):
        for number, name in enumerate(others):
            axes.plot(
                series[across], series[name], marker="o", markersize=3, color=SERIES[number], label=name
            )
        axes.set_xlabel(across)
        axes.legend(frameon=False, fontsize=8)
        return inline_svg(figure, f"curve-{one['variant']}", f"{', '.join(others)} over {across}")
