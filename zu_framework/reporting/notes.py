"""What target builders and solvers warned of, said once however many sites it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def site_notes(sites: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the notes of an edit's sites, each once, with the sites that it is about.

    Args:
        sites: Site -> its passes, as the edit's report has them.

    Returns:
        A sentence each: "model.layers.4.mlp.down_proj and 2 more sites: ...".
    """
    about: dict[str, list[str]] = {}
    for site, passes in sites.items():
        for step in passes:
            for part in ("targets", "solver"):
                for note in step.get(part, {}).get("notes", ()):
                    named = about.setdefault(note, [])
                    if site not in named:
                        named.append(site)
    return [f"{_listed(named)}: {note}" for note, named in about.items()]


def _listed(sites: Sequence[str]) -> str:
    more = len(sites) - 1
    return sites[0] + (f" and {more} more site{'s' * (more > 1)}" if more else "")
