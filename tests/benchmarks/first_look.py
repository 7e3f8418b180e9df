"""The first look at attacks, again: int4, training on other facts, training on half of the forgotten ones.

    python -m tests.benchmarks.first_look --model DIR --facts CF.json --text TEXT.txt [--draws 0 1 2] [--seeds 0 1 2]

Twenty CounterFact records that the model answers are forgotten at layers 4 to 6 (key space, text ".", clamp 1,
background 1000); the others are retained and trained on. Only paraphrases that the untouched model answers count.
Draw 0 is the file's first twenty, another shuffles them; seeds are of the attacks.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import zu_framework as zu
from tests.benchmarks.frontier.cells import plugins
from tests.benchmarks.real_methods import CONTEXTS
from tests.benchmarks.real_world import facts_of, known_of
from zu_framework.evaluation import Scorer

FACTS, OTHERS = 20, 80
EDIT: Mapping[str, Any] = {
    "base": "zerounlearn-local",
    "seed": 0,
    "guard": {"text": None, "facts": None},
    "locator": {"name": "fixed", "layers": [4, 5, 6]},
    "collector": CONTEXTS,
    "target": {"name": "neutral", "text": ".", "lr": 0.5, "lr_unit": "absolute", "steps": 25, "clamp": 1.0},
    "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0.0, "background_weight": 1000},
}
STEPS: Mapping[str, Any] = {"steps": 40, "lr": [2e-5], "rows_per_step": 4, "points": 1}
# attack, its options, and what is said of them beside the variant's name
ATTACKS: Sequence[tuple[str, Mapping[str, Any], str]] = (
    ("quantize", {"schemes": ["int4-32", "q4_1"]}, ""),
    ("relearn", {"texts": ["related", "half"], **STEPS}, ", answers"),
    ("relearn", {"texts": ["related"], "loss": "text", **STEPS}, ", whole text"),
)


def drawn(known: Sequence[zu.Request], draw: int) -> zu.AuditFacts:
    """The facts to forget, and the others: retained, trained on and asked by their own prompts alone."""
    order = list(known)
    if draw:
        random.Random(draw).shuffle(order)
    others = (replace(request, paraphrases=()) for request in order[FACTS : FACTS + OTHERS])
    return zu.AuditFacts(tuple(order[:FACTS]), tuple(others))


def attacked(lm: zu.LanguageModel, facts: zu.AuditFacts, seed: int) -> dict[str, str]:
    """Percent of the forget facts, their paraphrases and the retained facts that are answered under each attack."""
    found = {"plain": shares(*_plain(lm, facts))}
    for name, options, told in ATTACKS:
        registered = plugins().registry.get("audit", name)
        context = zu.AuditContext(seed, 32)
        outcomes = registered.load()(lm, facts, registered.spec.options(**options), context)
        for variant, one in outcomes.items():
            answered = one.answered
            found[variant + told] = shares(answered["forget"], answered["retain"], one.report["paraphrases"])
    return found


def _plain(lm: zu.LanguageModel, facts: zu.AuditFacts) -> tuple[list[float], list[float], float | None]:
    scorer = Scorer(lm, 32)
    own, others = (
        [float(score.exact) for score in scorer.score([zu.Probe(r.prompt, r.answer) for r in group])]
        for group in (facts.forget, facts.retain)
    )
    wordings = scorer.score([zu.Probe(text, r.answer) for r in facts.forget for text in r.paraphrases])
    return own, others, sum(score.exact for score in wordings) / len(wordings) if wordings else None


def shares(forget: Sequence[float | None], retain: Sequence[float | None], paraphrases: float | None) -> str:
    """Forgotten / paraphrases / retained, in percent of those that were asked; "-" where none was."""

    def share(values: Sequence[float | None]) -> float | None:
        asked = [value for value in values if value is not None]
        return sum(asked) / len(asked) if asked else None

    numbers = (share(forget), paraphrases, share(retain))
    return " / ".join("-" if number is None else f"{100 * number:.0f}" for number in numbers)


def row(name: str, facts: zu.AuditFacts, found: Mapping[str, str]) -> str:
    """A line of the table, under a head of its own."""
    known = sum(len(request.paraphrases) for request in facts.forget)
    head = f"{len(facts.forget)} facts, {known} known paraphrases, {len(facts.retain)} others"
    return f"| {head} | {' | '.join(found)} |\n| {name} | {' | '.join(found.values())} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--facts", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--draws", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    lm = zu.LanguageModel.from_pretrained(asked.model, dtype="float32")
    known = known_of(Scorer(lm, 32), [replace(r, neighbours=()) for r in facts_of(asked.facts)])
    config = {**EDIT, "background": {"name": "text", "path": asked.text, "documents": 150}}
    for draw in asked.draws:
        facts = drawn(known, draw)
        edit = zu.unlearn(lm, lm.tokenizer, facts.forget, config, retain=facts.retain, plugins=plugins())
        for seed in asked.seeds:
            print(row(f"ours, draw {draw}, seed {seed}", facts, attacked(lm, facts, seed)), flush=True)
        edit.revert()
        for seed in asked.seeds:
            print(row(f"untouched, draw {draw}, seed {seed}", facts, attacked(lm, facts, seed)), flush=True)


if __name__ == "__main__":
    main()
