"""Running metrics: each one reads the same scorer, so that no probe is scored twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zu_framework.errors import PluginError
from zu_framework.evaluation.scorer import Progress, Scorer, no_progress
from zu_framework.models import LanguageModel
from zu_framework.types import DataSplit, Measurement

Metric = Callable[[Scorer, DataSplit], Measurement | None]


def measure(
    lm: LanguageModel,
    data: DataSplit,
    metrics: Mapping[str, Metric],
    *,
    batch_size: int = 32,
    max_tokens: int = 256,
    progress: Progress = no_progress,
) -> dict[str, Measurement]:
    """What each metric says of the model as it is now, in the order of `metrics`.

    A metric that these data hold nothing for is left out. batch_size: rows that one forward pass may hold;
    max_tokens: window of held-out text. Raises `PluginError` where a metric answers something else.
    """
    scorer = Scorer(lm, batch_size, max_tokens=max_tokens, progress=progress)
    measured = {}
    for name, metric in metrics.items():
        answer = metric(scorer, data)
        if answer is None:
            continue
        if not isinstance(answer, Measurement):
            raise PluginError(f"metric {name!r} answered {answer!r}: it must return a Measurement, or None")
        measured[name] = answer
    return measured
