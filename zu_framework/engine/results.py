"""What a run leaves: its result in memory, and the files of the run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zu_framework.config import Config
from zu_framework.engine.edit import Edit
from zu_framework.files import write_json
from zu_framework.problem import Measurement
from zu_framework.store.adapter import write_adapter
from zu_framework.store.checkpoints import apply
from zu_framework.store.records import load_edit


@dataclass(frozen=True)
class Completion:
    """What the model says after a forgotten prompt, before and after the edit (greedy)."""

    prompt: str
    answer: str
    before: str
    after: str


@dataclass(frozen=True)
class RunResult:
    """A finished run. folder: where it lies; before, after: measurements by metric; edit: still in the model.

    cost: what measuring took on each side: probes, tokens, seconds.
    """

    folder: Path
    config: Config
    edit: Edit
    before: Mapping[str, Measurement]
    after: Mapping[str, Measurement]
    completions: list[Completion]
    seconds: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)


def write_results(folder: Path, result: RunResult) -> None:
    """Write config.yaml, metrics.json, edit.safetensors, undo.safetensors and, on request, model/ and adapter/."""
    config = result.config
    (folder / "config.yaml").write_text(resolved_yaml(result), encoding="utf-8")
    result.edit.save(folder, undo=config.output.undo)
    write_json(folder / "metrics.json", metrics_json(result))
    if config.output.model:
        apply(folder, config.model.path, folder / "model")
    if config.output.adapter:
        write_adapter(load_edit(folder), folder / "adapter")


def metrics_json(result: RunResult) -> dict[str, Any]:
    """Before and after, each metric with numerator, denominator and grain; and what the edit reported."""
    forgotten = [asdict(c) for c in result.completions]
    report: dict[str, Any] = finite(result.edit.report)
    return {
        "before": plain_measurements(result.before),
        "after": plain_measurements(result.after),
        "cost": dict(result.cost),
        "perplexity_text": result.config.evaluate.text_label,
        "completions": forgotten,
        "edit": {**result.edit.about, **report},
    }


def plain_measurements(measured: Mapping[str, Measurement]) -> dict[str, Any]:
    """Measurements by metric, as JSON can hold them."""
    return {name: finite(asdict(m)) for name, m in measured.items()}


def resolved_yaml(result: RunResult) -> str:
    """The config as it was run: enough to run again."""
    return f"# zu run {json.dumps(result.config.name)}, as resolved\n{result.config.to_yaml()}"


def finite(value: Any) -> Any:
    """The same, with infinite and undefined numbers as text: JSON holds none, and null would hide which it was."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
