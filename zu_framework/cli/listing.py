"""`zu plugins`: what is installed, read from the specs alone."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from zu_framework.cli.console import stdout
from zu_framework.printable import printable
from zu_framework.registry.components import option_defaults
from zu_framework.registry.manager import Plugins
from zu_framework.specs import SolverSpec


def describe(plugins: Plugins) -> dict[str, Any]:
    """All components and failures as plain values."""
    components = []
    for registered in plugins.registry:
        spec = registered.spec
        entry: dict[str, Any] = {
            "kind": spec.kind,
            "name": spec.name,
            "summary": spec.summary,
            "plugin": registered.plugin,
            "distribution": registered.distribution,
            "version": registered.version,
            "target": spec.target,
            "options": {k: _plain(v) for k, v in option_defaults(spec.options).items()},
        }
        if isinstance(spec, SolverSpec):
            entry["needs"] = sorted(spec.needs_of(spec.options()))
            entry["laws"] = sorted(spec.laws)
            entry["group_size"] = spec.group_size
        components.append(entry)
    failures = [
        {"plugin": f.plugin, "error": f.error, "traceback": f.traceback}
        for f in plugins.registry.failures.values()
    ]
    return {"components": components, "failed": failures, "collisions": plugins.registry.collisions()}


def print_plugins(plugins: Plugins, console: Console | None = None) -> None:
    """One table a kind; broken plugins and collisions after them, with their story."""
    console = console or stdout()
    listed = describe(plugins)
    for kind in dict.fromkeys(entry["kind"] for entry in listed["components"]):
        table = Table(
            title=f"{kind}s", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
        )
        table.add_column("name", style="cyan", no_wrap=True)
        table.add_column("summary, options and defaults", ratio=1)
        table.add_column("plugin", no_wrap=True)
        for entry in (e for e in listed["components"] if e["kind"] == kind):
            options = ", ".join(
                f"{k}={json.dumps(v, ensure_ascii=False, default=str)}" for k, v in entry["options"].items()
            )
            source = f"{entry['plugin']} {entry['version']}".strip()
            summary = Text(printable(entry["summary"]))
            if options:
                summary.append(f"\n{printable(options)}", "dim")
            # texts, not markup: a hundred rows of it are a tenth of the command's time
            table.add_row(Text(printable(entry["name"])), summary, Text(printable(source)))
        console.print(table)
        console.print()
    for failed in listed["failed"]:
        console.print(f"[red]plugin {escape(repr(failed['plugin']))} failed to load[/red] and is disabled:")
        console.print(escape((failed["traceback"] or failed["error"]).rstrip()), style="dim", highlight=False)
    for collision in listed["collisions"]:
        console.print(f"[red]collision[/red]: {escape(collision)}")


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
