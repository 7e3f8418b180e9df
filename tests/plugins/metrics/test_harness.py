"""lm-eval on the model in memory, offline: a task file of ours over MMLU questions, against our own multiple choice."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from tests.plugins.metrics.known import metric
from zu_framework import ConfigError, DataSplit, LanguageModel, Request, Scorer
from zu_framework.models import CheckpointInfo

LIMIT = 12


@pytest.mark.slow
def test_a_task_of_ours_agrees_with_our_multiple_choice(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    questions = shared / "data" / "mmlu" / "abstract_algebra_test.csv"
    task = {
        "task": "our_algebra",
        "dataset_path": "csv",
        "dataset_kwargs": {"data_files": {"test": str(questions)}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{[choice0|string, choice1|string, choice2|string, choice3|string]}}",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "our_algebra.yaml").write_text(yaml.safe_dump(task))
    scorer = Scorer(LanguageModel.from_pretrained(str(shared / "models" / "cf-mini")))
    found = metric("lm_eval", tasks=["our_algebra"], folder=str(tmp_path), limit=LIMIT)(scorer, DataSplit(()))
    with questions.open(newline="") as file:
        rows = list(csv.DictReader(file))[:LIMIT]
    requests = []
    for row in rows:
        choices = tuple(row[f"choice{n}"] for n in range(4))
        requests.append(
            Request(f"Question: {row['question']}\nAnswer:", choices[int(row["answer"])], choices=choices)
        )
    ours = metric("choice_accuracy")(scorer, DataSplit(tuple(requests)))
    assert found["acc"].denominator == LIMIT == ours.denominator and found["acc"].unit == "%"
    assert found["acc"].value == ours.value
    assert found["acc"].low is not None and found["acc"].low <= found["acc"].value


def test_a_task_that_lm_eval_does_not_know_is_refused() -> None:
    pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    from zu_plugins.metrics.harness import HarnessOptions, check

    model = CheckpointInfo("llama", 3, 32)
    with pytest.raises(ConfigError, match="knows no task 'no_such_task'"):
        check(HarnessOptions(tasks=["arc_easy", "no_such_task"]), model)
    with pytest.raises(ConfigError, match="tasks is empty"):
        check(HarnessOptions(), model)
