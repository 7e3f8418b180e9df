"""Tasks of lm-eval, EleutherAI's evaluation harness, on the model in memory (extra `lm-eval`).

Imports lm_eval at the top: a run that names the metric without having the extra stops before a model is loaded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from zu_framework import ConfigError, DataSplit, Measurement, Scorer
from zu_framework.evaluation import mean, ratio
from zu_framework.models import CheckpointInfo
from zu_plugins.metrics.options import HarnessOptions


@cache
def _tasks(folder: str | None) -> TaskManager:
    """What lm-eval knows, with a folder's tasks; finding them takes seconds."""
    return TaskManager(include_path=folder)


def check(options: HarnessOptions, model: CheckpointInfo) -> None:
    """Check that tasks are named, and that lm-eval knows each."""
    if not options.tasks:
        raise ConfigError("evaluate.options.lm_eval.tasks is empty: name tasks, such as [arc_easy]")
    if options.folder is not None and not Path(options.folder).is_dir():
        raise ConfigError(
            f"evaluate.options.lm_eval.folder {options.folder!r} is no folder: give the one that holds your task files"
        )
    known = _tasks(options.folder).all_tasks
    unknown = [name for name in options.tasks if name not in known]
    if unknown:
        raise ConfigError(
            f"evaluate.options.lm_eval.tasks: lm-eval knows no task {unknown[0]!r}; `lm-eval ls tasks` lists them, and "
            "evaluate.options.lm_eval.folder adds task files of your own"
        )


def evaluate(scorer: Scorer, data: DataSplit, options: HarnessOptions) -> dict[str, Measurement]:
    """Each number of each task by its lm-eval name, with an interval over the task's documents.

    Numbers that the harness aggregates by a mean stand; other aggregates (perplexities, F1 over a corpus) are left to
    lm-eval itself.
    """
    lm = scorer.lm
    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=scorer.batch_size)
    answered = lm_eval.simple_evaluate(
        model=model,
        tasks=list(options.tasks),
        num_fewshot=options.shots,
        limit=options.limit,
        task_manager=_tasks(options.folder),
        log_samples=True,
        bootstrap_iters=0,  # the interval is ours, so that every number has the same kind
    )
    found = {}
    for task, samples in answered["samples"].items():
        for name in dict.fromkeys(n for sample in samples for n in sample["metrics"]):
            one = _measured(task, name, [sample[name] for sample in samples if name in sample])
            if one is not None:
                found[name if len(answered["samples"]) == 1 else f"{task}.{name}"] = one
    return found


def _measured(task: str, name: str, values: list[Any]) -> Measurement | None:
    if not all(isinstance(value, int | float) for value in values):
        return None
    numbers = [float(value) for value in values]
    definition = f"lm-eval {lm_eval.__version__}, task {task}, {name}: mean over its documents"
    if name.startswith(("acc", "exact_match")):
        return ratio(numbers, [1.0] * len(numbers), grain="document", unit="%", definition=definition)
    return mean(numbers, grain="document", definition=definition)
