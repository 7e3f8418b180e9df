"""The page of a run: the registered sections in their order, each shut in so that a broken one costs only itself."""

from __future__ import annotations

import traceback
from pathlib import Path

from markupsafe import Markup

from zu_framework.errors import PluginError, RunFolderError
from zu_framework.evaluation.table import counted
from zu_framework.files import write_text
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.reporting.pages import PageSection, fill, page
from zu_framework.reporting.run_report import RunReport, read_run
from zu_framework.specs import MetricSpec, SectionSpec
from zu_framework.store.run_edit import SEAL_FILE

REPORT_FILE = "report.html"
TILES = 6  # measurements that stand above all


def write_run_page(
    folder: str | Path, *, location: Path | None = None, plugins: Plugins | None = None
) -> Path:
    """Write report.html into a run folder, from what the folder holds alone; it is replaced whole or not at all.

    Args:
        folder: The run folder.
        location: Where it will lie once it is whole; default: where it is.
        plugins: Whose sections are drawn; by default those of all that are installed.

    Returns:
        The page's path.

    Raises:
        RunFolderError: It is no run folder, or read-only.
    """
    folder = Path(folder)
    if (folder / SEAL_FILE).is_file():
        raise RunFolderError(f"{folder} was sealed: its page is as it was then")
    plugins = plugins or installed_plugins()
    metrics = [r.spec for r in plugins.registry if isinstance(r.spec, MetricSpec)]
    run = read_run(
        folder,
        location=location,
        better={spec.name: spec.better for spec in metrics},
        summaries={spec.name: spec.summary for spec in metrics},
    )
    path = folder / REPORT_FILE
    write_text(path, run_page(run, plugins), private=True)
    return path


def run_page(run: RunReport, plugins: Plugins) -> str:
    """Return the page as one HTML text."""
    about = run.about
    facts, sites = about.get("requests", 0), len(run.sites)
    sides = [(n, run.before.get(n), run.after.get(n)) for n in _tiles(run, plugins)]
    return page(
        f"{_count(facts, 'fact')} to forget in {about.get('model', 'a model')}",
        run_sections(run, plugins),
        kicker=f"Run {run.name}",
        lead=fill("lead.html", about=about, weights=_count(sites, "weight"), run=run),
        summary=fill(
            "tiles.html",
            tiles=[(n, old, new, counted(old, new)) for n, old, new in sides],
            better=run.better,
        ),
        footer=f"Made by zu_framework {about.get('versions', {}).get('zu_framework', '')} from the run folder "
        f"{run.name}. One file; it loads nothing.",
    )


def _tiles(run: RunReport, plugins: Plugins) -> list[str]:
    """The measurements that stand above all: those that the verdict follows from, then the first of the others."""
    names = list(dict.fromkeys((*run.before, *run.after)))
    specs = [r.spec for r in plugins.registry if isinstance(r.spec, MetricSpec)]
    judged = {spec.limited for spec in specs if spec.tells}
    chosen = sorted(names, key=lambda name: name not in judged)[:TILES]
    return [name for name in names if name in chosen]


def run_sections(run: RunReport, plugins: Plugins) -> list[PageSection]:
    """Return each registered section of this run; one that fails says so in its place."""
    registry = plugins.registry
    offers = registry.components.get(SectionSpec.kind, {})
    ordered = sorted(
        (min(o.spec.order for o in listed if isinstance(o.spec, SectionSpec)), name)
        for name, listed in offers.items()
    )
    sections = []
    for _, name in ordered:
        spec = offers[name][0].spec
        title = (spec.title if isinstance(spec, SectionSpec) else "") or name
        try:
            body = registry.get(SectionSpec.kind, name).load()(run)
            if body is not None and not isinstance(body, str):
                raise PluginError(
                    f"report section {name!r} returned {type(body).__name__}: it must return Markup, text or None"
                )
        except Exception as cause:  # a stranger's section may raise anything: the page outlives it
            sections.append(PageSection(name, title, _failed(cause, offers[name][0].plugin), failed=True))
            continue
        if body is not None:
            sections.append(PageSection(name, title, body))
    return sections


def _failed(cause: Exception, plugin: str) -> Markup:
    story = "".join(traceback.format_exception(cause))
    return fill("failed.html", error=f"{type(cause).__name__}: {cause}", plugin=plugin, story=story)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
