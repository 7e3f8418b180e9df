"""The contract of metrics, for with_hint, and the hint that a fact brings."""

from zu_example.with_hint import hint_of
from zu_framework import Request
from zu_framework.testing import MetricContract


class TestWithHint(MetricContract):
    metric = "with_hint"


def test_a_fact_brings_its_own_hint() -> None:
    assert hint_of(Request("The capital of Peru is", "Lima")) == "It begins with L."
    assert hint_of(Request("The capital of Peru is", "Lima", extra={"hint": "Not Cuzco."})) == "Not Cuzco."
