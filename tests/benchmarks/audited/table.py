"""The table: attacks by methods, what the edits cost, and what the untouched model says under the same attacks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.audited.methods import LABELS

Audit = Mapping[str, Any]

LIMIT = 0.75  # of the guard, where one is on
MEASURED = {
    "Eff": "efficacy",
    "Gen": "generalization",
    "Spe": "specificity",
    "retained": "retained",
}


def table(out: Path, names: Sequence[str]) -> str:
    """Attacks by methods: percent recovered, and `*` where it is more than chance by the audit's limit."""
    found = {name: audit for name in names if (audit := _audit(out / name))}
    rows = [["", *(LABELS[name] for name in found), "untouched"]]
    for label, metric in MEASURED.items():
        rows.append([label, *(_measured(out / name, metric) for name in found), ""])
    rows.append(["guard", *(_guard(out / name) for name in found), ""])
    rows.append(["lost of known", *(f"{audit['lost']} of {audit['known']}" for audit in found.values()), ""])
    rows.append(["holds under", *(_held(audit) for audit in found.values()), ""])
    variants = dict.fromkeys(one["variant"] for audit in found.values() for one in audit["findings"])
    for variant in variants:
        here = [_finding(audit, variant) for audit in found.values()]
        rows.append([variant, *map(_cell, here), _untouched(here)])
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def _audit(folder: Path) -> Audit:
    read = _json(folder / "audit" / "metrics.json")
    return read if "findings" in read else {}


def _json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return read


def _measured(folder: Path, metric: str) -> str:
    """What was measured of the edited model, in percent."""
    value = _json(folder / "metrics.json").get("after", {}).get(metric, {}).get("value", math.nan)
    return "-" if math.isnan(value) else f"{value:.0f}"


def costs(folder: Path) -> dict[str, str]:
    """Return what the edit of a run folder leaves and costs, by the table's words."""
    return {label: _measured(folder, metric) for label, metric in MEASURED.items()}


def _guard(folder: Path) -> str:
    """Predicted change on other facts in percent, summed over the sites, and `stops` where a limit is passed."""
    sites = _json(folder / "metrics.json").get("edit", {}).get("sites", {})
    steps = [step["guard"] for steps in sites.values() for step in steps]
    summed = {what: sum(step.get(what, 0.0) for step in steps) for what in ("text", "facts")}
    if not any(summed.values()):
        return "-"
    return f"{100 * summed['facts']:.0f}" + (" stops" if max(summed.values()) > LIMIT else "")


def _held(audit: Audit) -> str:
    first: str = audit["verdict"].split(";")[0]
    return first.removeprefix("holds under ").removesuffix(" attacks")


def _finding(audit: Audit, variant: str) -> Audit | None:
    return next((one for one in audit["findings"] if one["variant"] == variant), None)


def _cell(finding: Audit | None) -> str:
    if finding is None:
        return ""
    one = finding.get("recovered") or finding.get("answered")
    if not one or one.get("value") is None:
        return "-"
    return f"{one['value']:.0f}" + ("" if finding["holds"] else " *")


def _untouched(findings: Sequence[Audit | None]) -> str:
    known = (one["references"].get("untouched") for one in findings if one)
    return next((f"{one['value']:.0f}" for one in known if one), "-")
