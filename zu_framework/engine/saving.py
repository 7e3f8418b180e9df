"""Saving a run: edit, undo, metrics and config first; then each optional part apart, so that none can cost the edit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from zu_framework.config import Config
from zu_framework.engine.edit import Edit
from zu_framework.engine.measuring import MeasuredEdit
from zu_framework.engine.session import Session
from zu_framework.errors import ExitCode, RunFolderError, ZuError, described
from zu_framework.evaluation.judging import Verdict
from zu_framework.files import write_json
from zu_framework.models import AnswerSpace
from zu_framework.problem import Measurement
from zu_framework.problem.reports import finite, plain_measurements
from zu_framework.store.adapter import write_adapter
from zu_framework.store.checkpoints import apply
from zu_framework.store.intermediates import SITES, Intermediates
from zu_framework.store.journal import LOG
from zu_framework.store.run_edit import load_edit
from zu_framework.store.tensor_files import with_digest


@dataclass(frozen=True)
class Completion:
    """What the model says after a forgotten prompt, before and after the edit (greedy)."""

    prompt: str
    answer: str
    before: str
    after: str


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: Where it lies.
        config: As it was run.
        edit: Still in the model.
        before: Measurements of the untouched model, by metric.
        after: Measurements of the edited model, by metric.
        completions: Of a few forgotten prompts.
        seconds: Of each phase.
        cost: What measuring took, by side: probes, tokens, seconds.
        notes: What a user should know, a sentence each.
        verdict: What it all comes to; None where nothing was measured.
        failed_parts: Why an optional part (`model`, `adapter`, `sites`, a plugin's own) could not be saved.
        answers: How the answer follows each prompt; empty where one space always does.
    """

    folder: Path
    config: Config
    edit: Edit
    before: Mapping[str, Measurement]
    after: Mapping[str, Measurement]
    completions: Sequence[Completion]
    seconds: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    failed_parts: Mapping[str, str] = field(default_factory=dict)
    answers: Sequence[AnswerSpace] = ()
    verdict: Verdict | None = None

    @property
    def exit_code(self) -> ExitCode:
        """What `zu run` exits with: 3 where the model is damaged, 1 where an optional part is not saved, else 0."""
        if self.verdict is not None and self.verdict.damaged:
            return ExitCode.DAMAGED
        return ExitCode.PART_FAILED if self.failed_parts else ExitCode.DONE


def save_run(session: Session, measured: MeasuredEdit) -> RunResult:
    """Write a run folder; nothing in a process that writes none.

    Returns:
        The result, with the parts that could not be saved.

    Raises:
        RunFolderError: Edit, metrics or config cannot be written.
    """
    result = _result(session, measured)
    folder = session.partial
    if folder is None:
        return result
    journal, notes = session.journal, list(result.notes)
    with journal.phase("save"):
        _write_essentials(folder, result, session.intermediates)
        for name, write in _optional_parts(folder, result):
            try:
                notes += write()
            # whatever a library of one part raises, the edit is made and saved: it is told, and the run stands
            except Exception as cause:
                journal.part_failed(name, described(cause))
    if session.intermediates.failure:
        journal.part_failed(SITES, session.intermediates.failure)
    journal.record("done", seconds=journal.seconds)
    failed = dict(journal.failed_parts)
    if session.observers:
        with journal.phase("observe"):
            failed |= session.observers.saved(folder, session.folder)
    if journal.failure:
        failed[LOG] = journal.failure
    notes += session.observers.notes
    return replace(result, failed_parts=failed, notes=tuple(notes), seconds=dict(journal.seconds))


def _result(session: Session, measured: MeasuredEdit) -> RunResult:
    before, after = measured.before, measured.after
    said = zip(session.split.forget, before.completions, after.completions, strict=False)
    return RunResult(
        session.folder,
        session.config,
        measured.edit,
        before.values,
        after.values,
        [Completion(request.prompt, request.answer, old, new) for request, old, new in said],
        cost={"before": before.cost, "after": after.cost} if before.cost else {},
        verdict=measured.verdict,
        notes=session.split.notes,
        answers=measured.answers,
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
    """Return the parts that were asked for, each with what writes it, whole or not at all, and returns notes."""

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


def metrics_json(result: RunResult) -> dict[str, Any]:
    """Return before and after, each metric with numerator, denominator and grain; and what the edit reported."""
    report: dict[str, Any] = finite(result.edit.report)
    return {
        "verdict": None if result.verdict is None else result.verdict.plain(),
        "before": plain_measurements(result.before),
        "after": plain_measurements(result.after),
        "cost": dict(result.cost),
        "text_label": result.config.evaluate.text_label,
        "notes": list(result.notes),
        "answers": [finite(asdict(one)) for one in result.answers],
        "completions": [asdict(completion) for completion in result.completions],
        "edit": {**result.edit.about, **report},
    }


def resolved_yaml(config: Config) -> str:
    """Return the config as it was run: enough to run again."""
    return f"# zu run {json.dumps(config.name)}, as resolved\n{config.to_yaml()}"
