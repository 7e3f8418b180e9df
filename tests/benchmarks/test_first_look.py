"""The first look: which facts are drawn, and what its cells say."""

from __future__ import annotations

from tests.benchmarks.first_look import FACTS, attacked, drawn, row, shares
from zu_framework import AuditFacts, Request
from zu_framework.testing import tiny_model

KNOWN = [
    Request(f"The capital of place {i} is", "Rome", subject=f"place {i}", paraphrases=(f"In place {i}",))
    for i in range(30)
]


def test_the_first_draw_is_the_files_and_another_is_not() -> None:
    first, other = drawn(KNOWN, 0), drawn(KNOWN, 1)
    assert first.forget == tuple(KNOWN[:FACTS]) and len(first.retain) == len(KNOWN) - FACTS
    assert other.forget != first.forget and drawn(KNOWN, 1).forget == other.forget
    for facts in (first, other):
        assert not {r.prompt for r in facts.forget} & {r.prompt for r in facts.retain}
        assert not any(r.paraphrases for r in facts.retain)


def test_shares_are_of_those_that_were_asked() -> None:
    assert shares([1.0, None, 0.0, 0.0], [1.0, 1.0], 0.5) == "33 / 50 / 100"
    assert shares([None], [], None) == "- / - / -"


def test_the_table_names_both_roundings_and_both_losses() -> None:
    lm = tiny_model("llama")
    facts = AuditFacts(tuple(KNOWN[:2]), tuple(KNOWN[2:4]))
    before = lm.state_digest()
    found = attacked(lm, facts, 0)
    assert list(found) == [
        "plain",
        "int4-32",
        "q4_1",
        "relearn related, answers",
        "relearn half, answers",
        "relearn related, whole text",
    ]
    assert lm.state_digest() == before
    head, cells = row("ours", facts, found).splitlines()
    assert head.startswith("| 2 facts, 2 known paraphrases, 2 others | plain |")
    assert cells.count("|") == head.count("|") == len(found) + 2
