"""What was asked, of which model, by which components: enough to know what the page is about, and to repeat it."""

from __future__ import annotations

from typing import Any

import yaml
from markupsafe import Markup

from zu_framework.reporting import RunReport, fill

COMPONENTS = ("data", "locator", "collector", "background", "target", "solver")


def section(run: RunReport) -> Markup:
    """Request, model, components, versions; the whole configuration folded."""
    about, held = run.about, (run.facts or {}).get("model", {})
    total = (run.facts or {}).get("total", {})
    pairs: list[tuple[str, Any]] = [
        ("forget", f"{about.get('requests', 'unknown number of')} facts"),
        ("retain", f"{total['retain']} facts measured" if "retain" in total else "not recorded"),
        ("model", about.get("model", "unknown")),
        ("architecture", _architecture(about, held)),
        ("fingerprint before", about.get("fingerprint_before", "unknown")),
        ("fingerprint after", about.get("fingerprint_after", "unknown")),
        ("request digest", about.get("request_digest", "unknown")),
        ("seed", about.get("seed", "unknown")),
        ("versions", ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())),
    ]
    components = [(group, *_component(run.config[group])) for group in COMPONENTS if run.config.get(group)]
    for number, stage in enumerate(run.config.get("then") or (), 2):
        for group, given in stage.items():
            name, options = _component(given)
            components.append((f"stage {number}: {group}", name or "as before", options))
    written = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True)
    return fill("asked.html", "zu_plugins.reports", pairs=pairs, components=components, config=written)


def _architecture(about: Any, held: Any) -> str:
    said = [str(about.get("model_type", "unknown")), str(about.get("dtype", ""))]
    if held:
        said += [f"{held['layers']} layers", f"{held['parameters']:,} parameters".replace(",", "\u202f")]
    return ", ".join(part for part in said if part)


def _component(group: Any) -> tuple[str, list[tuple[str, Any]]]:
    if isinstance(group, str):
        return group, []
    return str(group.get("name", "")), [(key, value) for key, value in group.items() if key != "name"]
