"""A run folder as the sections of its page see it: read from the folder alone, what is missing named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zu_framework.errors import RunFolderError
from zu_framework.problem import Measurement
from zu_framework.reporting.analysis import FACTS_FILE, Analysis, read_analysis, read_facts
from zu_framework.store.audits import read_audit
from zu_framework.store.fields import Fields
from zu_framework.store.records import EDIT_FILE
from zu_framework.store.run_edit import UNDO_FILE
from zu_framework.store.tensor_files import check_digested, described

METRICS_FILE = "metrics.json"


@dataclass(frozen=True)
class RunReport:
    """What a section of the page may read of a run.

    Args:
        folder: Where the run lies, or will lie while it is being made; for commands.
        config: As resolved.
        before: Measurements of the untouched model, by metric.
        after: Measurements of the edited model, by metric.
        about: Of the edit: model, fingerprints, solver, versions ...
        sites: What was reported at each edited weight, a mapping a pass.
        records: Module, layer, hashes and steps of each edited weight.
        completions: Those that the run printed.
        events: The log.
        facts: `facts.json`; None where the run has none.
        analysis: `analysis.safetensors`; None where the run has none.
        audit: `audit/metrics.json`; None where the run was not audited.
        text_label: What a reader must know of the held-out text.
        undo: Whether the original tensors lie in the folder.
        better: The wanted direction of each metric, where known.
        summaries: What each metric measures, where known.
        verdict: What the run comes to; None where nothing was measured.
        curves: What locators wrote down, by file name without ".json".
    """

    folder: Path
    config: Mapping[str, Any]
    before: Mapping[str, Measurement]
    after: Mapping[str, Measurement]
    about: Mapping[str, Any]
    sites: Mapping[str, list[Mapping[str, Any]]]
    records: Mapping[str, Mapping[str, Any]]
    completions: list[Mapping[str, str]]
    events: list[Mapping[str, Any]]
    facts: Mapping[str, Any] | None
    analysis: Analysis | None
    audit: Mapping[str, Any] | None = None
    text_label: str = ""
    undo: bool = True
    better: Mapping[str, str] = field(default_factory=dict)
    summaries: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the run folder."""
        return self.folder.name


def read_run(
    folder: Path,
    *,
    location: Path | None = None,
    better: Mapping[str, str] | None = None,
    summaries: Mapping[str, str] | None = None,
) -> RunReport:
    """Read a run folder.

    Args:
        folder: Where it is.
        location: Where it will lie once it is whole; default: where it is.
        better: The wanted direction of each metric.
        summaries: What each metric measures.

    Raises:
        RunFolderError: The folder is none of a run, or a file of it is damaged; the file is named.
    """
    if not folder.is_dir():
        raise RunFolderError(f"run folder {str(folder)!r} does not exist")
    metrics = _json(folder / METRICS_FILE)
    try:
        edit = dict(metrics["edit"])
        before, after = (_measurements(metrics[when]) for when in ("before", "after"))
        sites = edit.pop("sites", {})
        edit.pop("seconds", None)
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise RunFolderError(f"{folder / METRICS_FILE} is not one of a run: {cause!r}") from cause
    return RunReport(
        folder=location or folder,
        config=_yaml(folder / "config.yaml"),
        before=before,
        after=after,
        about=edit,
        sites=sites,
        records=_records(folder / EDIT_FILE),
        completions=metrics.get("completions", []),
        events=_log(folder / "log.jsonl"),
        facts=read_facts(folder),
        analysis=read_analysis(folder),
        audit=read_audit(folder / "audit"),
        text_label=str(metrics.get("text_label", "")),
        undo=(folder / UNDO_FILE).is_file(),
        better=better or {},
        summaries=summaries or {},
        verdict=metrics.get("verdict"),
        curves=_curves(folder),
    )


def _curves(folder: Path) -> dict[str, dict[str, Any]]:
    """JSON files that name the locator that wrote them; any other is for a plugin of its own."""
    paths = [path for path in sorted(folder.glob("*.json")) if path.name not in (METRICS_FILE, FACTS_FILE)]
    found: dict[str, Any] = {}
    for path in paths:
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as cause:
            raise RunFolderError(f"{path} is damaged: {cause}") from cause
    return {name: held for name, held in found.items() if isinstance(held, dict) and "locator" in held}


def _json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise RunFolderError(f"{path.parent} holds no {path.name}: it is no run folder")
    fields = Fields.read(path)
    check_digested(fields)
    return fields.values


def _measurements(listed: Mapping[str, Any]) -> dict[str, Measurement]:
    """Back from JSON, where infinite and undefined numbers are text."""
    numbers = ("value", "numerator", "denominator", "low", "high")

    def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {k: float(v) if k in numbers and v is not None else v for k, v in fields.items()}

    return {name: Measurement(**plain(fields)) for name, fields in listed.items()}


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, ValueError, OSError) as cause:
        raise RunFolderError(f"{path} is damaged: {cause}") from cause
    return found if isinstance(found, dict) else {}


def _log(path: Path) -> list[Mapping[str, Any]]:
    """The events; a last line that was cut off is left out, as a run still writing leaves it."""
    if not path.is_file():
        return []
    events: list[Mapping[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _records(path: Path) -> dict[str, Mapping[str, Any]]:
    """What the edit file's metadata says of each weight; its tensors, which may be large, are not read."""
    if not path.is_file():
        return {}
    return {_name(entry): entry.values for entry in described(path).objects("sites")}


def _name(entry: Fields) -> str:
    parameter = entry.text("parameter")
    return entry.text("module") if parameter == "weight" else f"{entry.text('module')}.{parameter}"
