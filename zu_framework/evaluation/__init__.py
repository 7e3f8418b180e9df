"""Running metrics on a model, and the table of what they said."""

from __future__ import annotations

from zu_framework.evaluation.measure import Metric, measure
from zu_framework.evaluation.scorer import Scorer
from zu_framework.evaluation.table import before_after_table
from zu_framework.evaluation.texts import read_texts

__all__ = ["Metric", "Scorer", "before_after_table", "measure", "read_texts"]
