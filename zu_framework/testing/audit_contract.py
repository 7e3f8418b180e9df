"""The contract of an attack as a test class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from zu_framework.contracts import AuditContext
from zu_framework.errors import AuditError
from zu_framework.evaluation import control_facts
from zu_framework.models import LanguageModel
from zu_framework.problem import GROUPS, AuditFacts, Outcome
from zu_framework.registry.manager import installed_plugins


class AuditContract:
    """Subclass it and name the attack; it is made on the embedded demo model, and on its twin that never saw the facts.

        class TestMine(AuditContract):
            audit = "mine"
            options = {"steps": 2}

    Every outcome must hold a number between 0 and 1, or None, for each fact of each group that it asks, and a text for
    each fact in `prompts` where that has the group. `finds` and `stays`: least share of forget facts that some variant
    gets out of the untouched model, and most that any gets out of the twin.
    """

    audit: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    finds: ClassVar[float] = 0.5
    stays: ClassVar[float] = 0.34

    def facts(self) -> AuditFacts:
        """Return six facts of the demo to forget, eight to retain, and six that nobody knows."""
        dataset = installed_plugins().registry.get("dataset", "demo")
        split = dataset.load()(dataset.spec.options(), 0)
        forget, retain = split.forget[:6], split.retain[:8]
        return AuditFacts(forget, retain, control_facts(forget, retain, 0))

    def outcomes(self, path: str, facts: AuditFacts | None = None) -> dict[str, Outcome]:
        """Attack a model, by its path; check that it is as it was afterwards.

        Args:
            path: The embedded model or its twin.
            facts: What is asked; `facts()` by default.

        Returns:
            The outcome of each variant.
        """
        base = LanguageModel.from_pretrained("zu:demo", dtype="float32")
        twin = LanguageModel.from_pretrained("zu:demo-twin", dtype="float32")
        lm = twin if path == "zu:demo-twin" else base
        registered = installed_plugins().registry.get("audit", self.audit)
        context = AuditContext(0, 32, base=base, twin=twin, sites=(base.site(0),))
        before = lm.fingerprint()
        try:
            return dict(
                registered.load()(lm, facts or self.facts(), registered.spec.options(**self.options), context)
            )
        finally:
            assert lm.fingerprint() == before, "the model was changed"

    def test_it_finds_what_the_untouched_model_knows(self) -> None:
        """Some variant gets at least `finds` of the forget facts."""
        shares = [share for share in map(_share, self.outcomes("zu:demo").values()) if share is not None]
        assert shares and max(shares) >= self.finds

    def test_it_finds_nothing_where_nothing_is(self) -> None:
        """No variant gets more than `stays` of the forget facts out of the twin."""
        shares = [share for share in map(_share, self.outcomes("zu:demo-twin").values()) if share is not None]
        assert shares and max(shares) <= self.stays

    def test_outcomes_have_their_form(self) -> None:
        """Groups are known, every fact has a number or None, and texts stand beside numbers."""
        facts = self.facts()
        for name, outcome in self.outcomes("zu:demo", facts).items():
            assert name and set(outcome.answered) <= set(GROUPS) and "forget" in outcome.answered
            for group, values in outcome.answered.items():
                assert len(values) == len(getattr(facts, group))
                assert all(value is None or 0 <= value <= 1 for value in values)
            for group, texts in outcome.prompts.items():
                assert len(texts) == len(getattr(facts, group))

    def test_the_same_seed_gives_the_same_numbers(self) -> None:
        """Two attacks in a row agree."""
        first, again = self.outcomes("zu:demo"), self.outcomes("zu:demo")
        assert {n: o.answered for n, o in first.items()} == {n: o.answered for n, o in again.items()}

    def test_a_single_fact_is_attacked_or_refused(self) -> None:
        """One fact, nothing to retain: an outcome, or an `AuditError` that says why."""
        try:
            found = self.outcomes("zu:demo", AuditFacts(self.facts().forget[:1]))
        except AuditError as cause:
            if len(str(cause)) < 20:
                pytest.fail("the refusal does not say why")
            return
        assert all(len(outcome.answered["forget"]) == 1 for outcome in found.values())


def _share(outcome: Outcome) -> float | None:
    known = [value for value in outcome.answered["forget"] if value is not None]
    return sum(known) / len(known) if known else None
