"""Running metrics on a model, and the table of what they measured."""

from __future__ import annotations

from zu_framework.evaluation.answer_space import settle_answers
from zu_framework.evaluation.audits import Finding, control_facts, finding, verdict
from zu_framework.evaluation.cost import Cost
from zu_framework.evaluation.intervals import interval, mean, ratio
from zu_framework.evaluation.matching import fold, stands_in
from zu_framework.evaluation.metrics import Metric, measure, measure_with
from zu_framework.evaluation.scorer import Scorer
from zu_framework.evaluation.table import before_after_table, counted, number_shown
from zu_framework.evaluation.texts import read_texts

__all__ = [
    "Cost",
    "Finding",
    "Metric",
    "Scorer",
    "before_after_table",
    "control_facts",
    "counted",
    "finding",
    "fold",
    "interval",
    "mean",
    "measure",
    "measure_with",
    "number_shown",
    "ratio",
    "read_texts",
    "settle_answers",
    "stands_in",
    "verdict",
]
