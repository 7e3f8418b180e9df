"""Running metrics: each one reads the same scorer, so that no probe is scored twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zu_framework.errors import PluginError
from zu_framework.evaluation.scorer import Progress, Scorer, no_progress
from zu_framework.models import LanguageModel
from zu_framework.problem import DataSplit, Measurement

Metric = Callable[[Scorer, DataSplit], Any]
"""A metric with its options bound; it returns a `Measurement`, a mapping of several by name, or None."""


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
    """Measure the model as it is now.

    Args:
        lm: The model.
        data: Facts, and held-out text.
        metrics: By the name that their measurement gets.
        batch_size: Rows that one forward pass may hold.
        max_tokens: Length of the windows that long texts are cut into.
        progress: `progress(label, done, total)` is called as probes are scored.
        reference: The scorer of a retrained model, for the metrics that compare with one.

    Returns:
        Measurements in the order of `metrics`; a metric that these data hold nothing for is left out.

    Raises:
        PluginError: A metric returns something else than its contract says.
    """
    scorer = Scorer(lm, batch_size, max_tokens=max_tokens, progress=progress, reference=reference)
    return measure_with(scorer, data, metrics)


def measure_with(scorer: Scorer, data: DataSplit, metrics: Mapping[str, Metric]) -> dict[str, Measurement]:
    """Measure as `measure` does, by a scorer of the caller's, whose `cost` then says what was computed.

    A reference model that was loaded on the way is let go of at the end; its scores stay known to its scorer.

    Args:
        scorer: Scores each probe once, however many metrics ask for it.
        data: Facts, and held-out text.
        metrics: By the name that their measurement gets.

    Returns:
        Measurements in the order of `metrics`; a metric that these data hold nothing for is left out.

    Raises:
        PluginError: A metric returns something else than its contract says.
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
                        f"metric {name!r} returned {one!r}: it must return a Measurement, a mapping of them, or None"
                    )
                measured[f"{name}/{key}" if key else name] = one
    finally:
        if scorer.reference is not None:
            scorer.reference.release()
    return measured
