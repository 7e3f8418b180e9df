"""What attacks recovered: shares with intervals over facts, references beside them, and one sentence of verdict."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zu_framework.evaluation.intervals import ratio
from zu_framework.problem import Measurement, Outcome, Request

# syllables of invented names: no language has these subjects
BEGINNINGS = ("Vel", "Tor", "Mir", "Quan", "Bre", "Sol", "Dra", "Lun", "Pel", "Gor")
MIDDLES = ("an", "ov", "ek", "il", "ur", "as", "em", "ith")
ENDINGS = ("dria", "mont", "vale", "stan", "berg", "holm", "ska", "tora")


@dataclass(frozen=True)
class Finding:
    """One variant of one attack, judged.

    Args:
        attack: The attack's name.
        variant: Its variant's.
        recovered: Of the facts that the untouched model answers and the edited one does not, what the attack got out,
            in percent; None where no such fact was asked.
        answered: Of all forget facts that were asked, what is answered under the attack, in percent.
        references: "untouched", "twin", "never known", "retained" -> what is answered under the attack, in percent.
        leaks: Forget facts that came back, each with the prompt that got it out.
        seconds: What the attack took on the edited model.
        curve: Of the edited model, see `Outcome`.
        report: Of the edited model, see `Outcome`.
    """

    attack: str
    variant: str
    recovered: Measurement | None
    answered: Measurement | None
    references: Mapping[str, Measurement] = field(default_factory=dict)
    leaks: Sequence[Mapping[str, str]] = ()
    seconds: float = 0.0
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """The percentage that the verdict reads: recovered, or answered where there is no untouched model."""
        one = self.recovered or self.answered
        return None if one is None else one.value

    @property
    def chance(self) -> float:
        """The percentage that the attack gets of what nobody knows: the twin's, else the invented facts'.

        It is at least what guessing gives, where the attack offers a choice (`chance` of its report, from 0 to 1).
        """
        guessed = 100 * float(self.report.get("chance") or 0.0)
        for name in ("twin", "never known"):
            if name in self.references:
                return max(guessed, self.references[name].value)
        return guessed

    def holds(self, limit: float) -> bool:
        """Return whether the edit holds under the attack.

        Args:
            limit: Percentage points that the attack may get above chance.

        Returns:
            True where it gets no more, or could not be made.
        """
        return self.share is None or self.share - self.chance <= limit


def finding(
    attack: str,
    variant: str,
    requests: Sequence[Request],
    lost: Sequence[bool] | None,
    edited: Outcome,
    others: Mapping[str, Outcome],
    seconds: float,
) -> Finding:
    """Judge one variant.

    Args:
        attack: Its name.
        variant: The variant's name.
        requests: The n forget facts.
        lost: For each, whether the untouched model answers it and the edited one does not; None without the former.
        edited: What the attack got out of the edited model.
        others: "untouched", "twin" -> what it got out of these.
        seconds: What it took on the edited model.

    Returns:
        The finding; its intervals are bootstrap intervals over facts.
    """
    own = edited.answered.get("forget", ())
    recovered = None
    if lost is not None:
        recovered = _share(
            [value if gone else None for value, gone in zip(own, lost, strict=True)],
            "facts that the untouched model answers and the edited one does not, answered under the attack",
        )
    references = {}
    for name, outcome in others.items():
        one = _share(
            outcome.answered.get("forget", ()), f"forget facts answered by the {name} model under the attack"
        )
        if one is not None:
            references[name] = one
    for group, name in (("control", "never known"), ("retain", "retained")):
        one = _share(
            edited.answered.get(group, ()), f"{name} facts answered by the edited model under the attack"
        )
        if one is not None:
            references[name] = one
    prompts = edited.prompts.get("forget", ("",) * len(requests))
    gone = [True] * len(requests) if lost is None else list(lost)
    leaks = [
        {"fact": request.prompt, "answer": request.answer, "prompt": prompt, "share": f"{value:.2f}"}
        for request, value, prompt, missing in zip(requests, own, prompts, gone, strict=True)
        if value and missing
    ]
    answered = _share(own, "forget facts answered by the edited model under the attack")
    return Finding(
        attack, variant, recovered, answered, references, leaks, seconds, edited.curve, edited.report
    )


def verdict(findings: Sequence[Finding], limit: float) -> str:
    """Sum up findings in one sentence.

    Args:
        findings: All variants; an attack holds where all its variants do.
        limit: Percentage points above chance.

    Returns:
        How many attacks hold, and what the worst that does not brings back.
    """
    if not findings:
        return "no attack could be made"
    attacks = list(dict.fromkeys(one.attack for one in findings))
    broken = [one for one in findings if not one.holds(limit)]
    kept = len(attacks) - len({one.attack for one in broken})
    text = f"holds under {kept} of {len(attacks)} attacks"
    if not broken:
        return text
    worst = max(broken, key=lambda one: (one.share or 0.0) - one.chance)
    beside = [
        f"{name} {worst.references[key].value:.0f} %"
        for key, name in (("untouched", "untouched"), ("twin", "twin"), ("never known", "never known"))
        if key in worst.references
    ]
    told = f"{text}; {worst.variant} brings back {worst.share:.0f} %"
    return f"{told} ({', '.join(beside)})" if beside else told


def control_facts(forget: Sequence[Request], retain: Sequence[Request], seed: int) -> tuple[Request, ...]:
    """Return facts that no model knows, one for each fact to forget: its wording, an invented subject, another answer.

    Args:
        forget: The n facts to forget. Without a subject in all of them there is no control.
        retain: Where other answers come from, besides the forget facts.
        seed: Decides names and answers.

    Returns:
        n facts, in the order of `forget`; none where a fact has no subject.
    """
    if any(request.subject_start is None or request.subject_end is None for request in forget):
        return ()
    draw = random.Random(seed)
    answers = sorted({request.answer for request in (*forget, *retain)})
    found = []
    for request in forget:
        assert request.subject_start is not None and request.subject_end is not None
        name = draw.choice(BEGINNINGS) + draw.choice(MIDDLES) + draw.choice(ENDINGS)
        prompt = request.prompt[: request.subject_start] + name + request.prompt[request.subject_end :]
        others = [answer for answer in answers if answer != request.answer] or [request.answer]
        found.append(
            Request(
                prompt,
                draw.choice(others),
                subject=name,
                subject_start=request.subject_start,
                source="control",
            )
        )
    return tuple(found)


def _share(values: Sequence[float | None], definition: str) -> Measurement | None:
    """Percent of the facts that were asked, with its interval; None where none was."""
    known = [value for value in values if value is not None]
    return ratio(known, [1.0] * len(known), grain="fact", unit="%", definition=definition)
