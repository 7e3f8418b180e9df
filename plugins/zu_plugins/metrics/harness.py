"""Tasks of lm-eval, EleutherAI's evaluation harness, on the model in memory (extra `lm-eval`).

Imports lm_eval at the top: a run that names the metric without having the extra stops before a model is loaded.
"""

from __future__ import annotations

from typing import Any

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from zu_framework import ConfigError, DataSplit, Measurement, Scorer
from zu_framework.evaluation import mean, ratio
from zu_plugins.metrics.options import HarnessOptions


def evaluate(scorer: Scorer, data: DataSplit, options: HarnessOptions) -> dict[str, Measurement]:
    """Each number of each task by its lm-eval name, with an interval over the task's documents.

    Numbers that the harness aggregates by a mean stand; other aggregates (perplexities, F1 over a corpus) are left to
    lm-eval itself. Raises `ConfigError` for a task that it does not know.
    """
    if not options.tasks:
        raise ConfigError("evaluate.options.lm_eval.tasks is empty: name tasks, such as [arc_easy]")
    manager = TaskManager(include_path=options.folder)
    unknown = [name for name in options.tasks if name not in manager.all_tasks]
    if unknown:
        raise ConfigError(
            f"evaluate.options.lm_eval.tasks: lm-eval knows no task {unknown[0]!r}; `lm-eval ls tasks` lists them, and "
            "evaluate.options.lm_eval.folder adds task files of your own"
        )
    lm = scorer.lm
    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=scorer.batch_size)
    answered = lm_eval.simple_evaluate(
        model=model,
        tasks=list(options.tasks),
        num_fewshot=options.shots,
        limit=options.limit,
        task_manager=manager,
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
