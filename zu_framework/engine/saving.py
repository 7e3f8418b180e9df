"""Saving a run: edit, undo, metrics and config first; then each optional part apart, so that none can cost the edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zu_framework.engine.results import RunResult, metrics_json, resolved_yaml
from zu_framework.engine.session import LOG, Session
from zu_framework.errors import RunFolderError, ZuError, described
from zu_framework.files import write_json
from zu_framework.store.adapter import write_adapter
from zu_framework.store.checkpoints import apply
from zu_framework.store.intermediates import SITES, Intermediates
from zu_framework.store.run_edit import load_edit
from zu_framework.store.tensor_files import with_digest


def save_run(session: Session, result: RunResult) -> RunResult:
    """Write a run folder; nothing in a process that writes none.

    Returns:
        The result, with the parts that could not be saved.

    Raises:
        RunFolderError: Edit, metrics or config cannot be written.
    """
    folder = session.partial
    if folder is None:
        return result
    failed, notes = session.failed_parts, list(result.notes)
    with session.journal.phase("save"):
        _write_essentials(folder, result, session.intermediates)
        for name, write in _optional_parts(folder, result):
            try:
                notes += write()
            # whatever a library of one part raises, the edit is made and saved: it is told, and the run stands
            except Exception as cause:
                shutil.rmtree(folder / name, ignore_errors=True)
                session.part_failed(name, described(cause))
    if session.intermediates.failure:
        session.part_failed(SITES, session.intermediates.failure)
    session.journal.record("done", seconds=session.journal.seconds)
    if session.observers:
        with session.journal.phase("observe"):
            failed |= session.observers.saved(folder, session.folder)
    if session.journal.failure:
        failed[LOG] = session.journal.failure
    notes += session.observers.notes
    return replace(
        result, failed_parts=dict(failed), notes=tuple(notes), seconds=dict(session.journal.seconds)
    )


def _write_essentials(folder: Path, result: RunResult, intermediates: Intermediates) -> None:
    """Write what a run is worth; where the disk is full, intermediates make room for it."""
    try:
        _write(folder, result)
    except (ZuError, OSError) as cause:
        if not intermediates.remove(cause):
            raise
        _write(folder, result)


def _write(folder: Path, result: RunResult) -> None:
    try:
        result.edit.save(folder, undo=result.config.output.undo)
        write_json(folder / "metrics.json", with_digest(metrics_json(result)))
        (folder / "config.yaml").write_text(resolved_yaml(result.config), encoding="utf-8")
    except OSError as cause:
        raise RunFolderError(
            f"the run cannot be written into {folder.parent}: {cause.strerror}; choose another output.folder"
        ) from cause


def _optional_parts(folder: Path, result: RunResult) -> list[tuple[str, Callable[[], list[str]]]]:
    """Return the parts that were asked for, each with what writes it and returns notes."""

    def model() -> list[str]:
        return apply(folder, result.config.model.path, folder / "model")

    def adapter() -> list[str]:
        write_adapter(load_edit(folder), folder / "adapter")
        return []

    parts: list[tuple[str, Callable[[], list[str]]]] = []
    if result.edit.reverted:  # the model is the untouched one again
        return parts
    if result.config.output.model:
        parts.append(("model", model))
    if result.config.output.adapter:
        parts.append(("adapter", adapter))
    return parts
