"""The contract of attacks, for insist, and what is asked."""

from zu_example.insist import insisted
from zu_framework import Request
from zu_framework.testing import AuditContract


class TestInsist(AuditContract):
    audit = "insist"


def test_the_question_stands_before_itself() -> None:
    fact = Request("The capital of Peru is", "Lima")
    assert insisted(fact, 1) == "The capital of Peru is? The capital of Peru is"
