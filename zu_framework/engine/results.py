"""What a run leaves in memory, and the same as `metrics.json` holds it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zu_framework.config import Config
from zu_framework.engine.edit import Edit
from zu_framework.engine.verdict import Verdict
from zu_framework.errors import ExitCode
from zu_framework.models import AnswerSpace
from zu_framework.problem import Measurement


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


def plain_measurements(measured: Mapping[str, Measurement]) -> dict[str, Any]:
    """Return measurements by metric, as JSON can hold them."""
    return {name: finite(asdict(m)) for name, m in measured.items()}


def resolved_yaml(config: Config) -> str:
    """Return the config as it was run: enough to run again."""
    return f"# zu run {json.dumps(config.name)}, as resolved\n{config.to_yaml()}"


def finite(value: Any) -> Any:
    """Return the same, infinite and undefined numbers as text: JSON holds none, and null would hide which it was."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as JSON can hold it."""

    def of(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.item() if value.ndim == 0 else value.tolist()
        if isinstance(value, Mapping):
            return {str(k): of(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [of(v) for v in value]
        return value

    return {str(k): of(v) for k, v in report.items()}
