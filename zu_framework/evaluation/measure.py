"""Running metrics: each one reads the same scorer, so that no probe is scored twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zu_framework.errors import PluginError
from zu_framework.evaluation.scorer import Progress, Scorer, no_progress
from zu_framework.models import LanguageModel
from zu_framework.problem import DataSplit, Measurement

Metric = Callable[[Scorer, DataSplit], Any]  # Measurement, a mapping of several by name, or None


def measure(
    lm: LanguageModel,
    data: DataSplit,
    metrics: Mapping[str, Metric],
    *,
    batch_size: int = 32,
    max_tokens: int = 256,
    progress: Progress = no_progress,
    reference: Scorer | None = None,
) -> dict[str, Measurement]:
    """What each metric says of the model as it is now, in the order of `metrics`.

    A metric that these data hold nothing for is left out. batch_size: rows that one forward pass may hold;
    max_tokens: window of held-out text. Raises `PluginError` where a metric answers something else.
    """
    scorer = Scorer(lm, batch_size, max_tokens=max_tokens, progress=progress, reference=reference)
    return measure_with(scorer, data, metrics)


def measure_with(scorer: Scorer, data: DataSplit, metrics: Mapping[str, Metric]) -> dict[str, Measurement]:
    """As `measure`, by a scorer that the caller keeps: its `cost` then says what was computed.

    A reference model that was loaded on the way is let go of at the end; what it said stays known to its scorer.
    """
    measured: dict[str, Measurement] = {}
    try:
        for name, metric in metrics.items():
            answer = metric(scorer, data)
            if answer is None:
                continue
            several = answer if isinstance(answer, Mapping) else {"": answer}
            for key, one in several.items():
                if not isinstance(one, Measurement):
                    raise PluginError(
                        f"metric {name!r} answered {one!r}: it must return a Measurement, a mapping of them, or None"
                    )
                measured[f"{name}/{key}" if key else name] = one
    finally:
        if scorer.reference is not None:
            scorer.reference.release()
    return measured
