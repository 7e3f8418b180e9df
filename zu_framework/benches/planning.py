"""What is done before the first cell runs: every cell's config is resolved and checked, and gets its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zu_framework
from zu_framework.benches.grid import Bench, Cell
from zu_framework.benches.measured import read_attacks, read_measured
from zu_framework.config import Config
from zu_framework.engine.opening import open_beside, open_session
from zu_framework.engine.session import Session, resolve
from zu_framework.errors import ConfigError, ZuError
from zu_framework.models.places import local_path
from zu_framework.registry.manager import Plugins
from zu_framework.specs import AuditSpec
from zu_framework.store.digests import fingerprint


@dataclass(frozen=True)
class Planned:
    """A cell and where it lies.

    Args:
        cell: The run.
        name: What it is, and a digest of all that it follows from.
        bench: The bench's folder.
        audits: Attacks that are made on its edit.
    """

    cell: Cell
    name: str
    bench: Path
    audits: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its run folder, once it is done."""
        return self.bench / "cells" / self.name

    @property
    def config(self) -> Path:
        """Its config, which `zu run` runs again."""
        return self.bench / "configs" / f"{self.name}.yaml"

    @property
    def failure(self) -> Path:
        """What is known of its last failure."""
        return self.bench / "failed" / f"{self.name}.json"

    @property
    def done(self) -> bool:
        """Whether it ran to its end, its attacks too: run folders appear whole."""
        return self.edited and (not self.audits or set(self.audits) <= read_attacks(self.folder)[0])

    @property
    def edited(self) -> bool:
        """Whether its run folder is there, and its numbers can be read."""
        return read_measured(self.folder) is not None


def plan(bench: Bench, plugins: Plugins) -> list[Planned]:
    """Check every cell and name it, before anything has run.

    What can be known without weights is checked of each cell but for its seed; data and model folder are read once for
    all cells that share them.

    Args:
        bench: The grid.
        plugins: Who offers its components.

    Raises:
        ZuError: The cell's own error, the cell named.
    """
    checked: set[str] = set()
    sessions: dict[str, Session] = {}
    for cell in bench.cells:
        whole = _key({k: v for k, v in cell.config.tree.items() if k != "seed"})
        if whole in checked:
            continue
        checked.add(whole)
        try:
            _check_metrics(bench, cell)
            _check(cell, plugins, sessions)
        except ZuError as cause:
            raise type(cause)(f"bench cell {cell}: {cause}") from cause
    stamps: dict[str, Any] = {}
    for name in bench.config.audits:
        plugins.registry.get(AuditSpec.kind, name).load()
    audits = tuple(bench.config.audits)
    return [Planned(cell, _name(cell, stamps), bench.folder, audits) for cell in bench.cells]


def _check(cell: Cell, plugins: Plugins, sessions: dict[str, Session]) -> None:
    """Check one cell against the facts and the model that it shares with cells before it, or read them."""
    session = resolve(cell.config, plugins)
    shared = {group: cell.config.tree.get(group) for group in ("model", "data", "background", "evaluate")}
    key = _key({**shared, "reads": session.reads_text})
    if key not in sessions:
        sessions[key] = open_session(cell.config, plugins=plugins)
        return
    open_beside(session, sessions[key])


def _key(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True, default=str)


def _check_metrics(bench: Bench, cell: Cell) -> None:
    """Check that the metrics that table and plot show are among those measured, somewhere in the grid."""
    measured = {name for other in bench.cells for name in other.config.evaluate.metrics}
    if not measured:
        raise ConfigError("evaluate.metrics is empty: a bench compares what is measured")
    axes = {key: getattr(bench.config, key) for key in ("forgetting", "retention")}
    shown = {"metrics": bench.config.metrics, **{key: [name] for key, name in axes.items() if name}}
    for key, names in shown.items():
        for name in names:
            if name.partition("/")[0] not in (measured | ({"audit"} if bench.config.audits else set())):
                raise ConfigError(
                    f"bench.{key} names {name!r}, which is not measured: evaluate.metrics has "
                    f"{', '.join(sorted(measured))}"
                )


def _name(cell: Cell, stamps: dict[str, Any]) -> str:
    """Return a readable name with a digest: a cell whose config, data, model or framework changed is another cell."""
    config = cell.config
    tree = json.loads(json.dumps(config.tree, default=str))
    named = [one.options for stage in config.stages for one in stage.components.values()]
    named += [one.options for one in config.components.values()]
    core = [config.model.path, config.evaluate.reference or "", config.evaluate.text or ""]
    digest = fingerprint(
        {
            "config": tree,
            "files": {text: _stamp(text, stamps) for text in sorted(set(_texts([*named, *core])))},
            "version": zu_framework.__version__,
        }
    )
    said = [cell.model, cell.dataset, *([] if cell.forget is None else [str(cell.forget)]), cell.method]
    readable = "-".join(re.sub(r"[^\w.+=]+", "_", part) for part in said)
    return f"{readable}-seed{cell.seed}-{digest[:8]}"


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a tree: some are paths."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for below in value.values():
            yield from _texts(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _texts(below)


def _stamp(text: str, stamps: dict[str, Any]) -> Any:
    """Return size and time of the file, or of each file of the folder, that a text names; None where it names none."""
    if text not in stamps:
        stamps[text] = None
        try:
            path = Path(local_path(text)).expanduser()
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            stamps[text] = [
                [f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()
            ] or None
        except (OSError, ValueError, ZuError):
            pass  # no path: a text to say, a name
    return stamps[text]


def config_yaml(config: Config) -> str:
    """Return a cell's config as a file: a fresh run folder each time it is run alone."""
    return f"# one cell of a bench; run it alone: zu run THIS_FILE\n{config.to_yaml()}"
