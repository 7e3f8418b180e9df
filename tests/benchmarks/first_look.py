"""The first look at attacks, again: int4, training on other facts, training on half of the forgotten ones.

    python -m tests.benchmarks.first_look --model DIR --facts CF.json --text TEXT.txt

Twenty CounterFact records that the model answers are forgotten at layers 4 to 6 (key space, text ".", clamp 1,
background 1000); the others are retained and trained on. Only paraphrases that the untouched model answers count.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import zu_framework as zu
from tests.benchmarks.frontier.cells import plugins
from tests.benchmarks.real_methods import CONTEXTS
from tests.benchmarks.real_world import facts_of, known_of
from zu_framework.evaluation import Scorer

FACTS = 20
EDIT: Mapping[str, Any] = {
    "base": "zerounlearn-local",
    "seed": 0,
    "guard": {"text": None, "facts": None},
    "locator": {"name": "fixed", "layers": [4, 5, 6]},
    "collector": CONTEXTS,
    "target": {"name": "neutral", "text": ".", "lr": 0.5, "lr_unit": "absolute", "steps": 25, "clamp": 1.0},
    "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0.0, "background_weight": 1000},
}
ATTACKS: Mapping[str, Mapping[str, Any]] = {
    "quantize": {"schemes": ["int4-32"]},
    "relearn": {"texts": ["related", "half"], "steps": 40, "lr": [2e-5], "rows_per_step": 4, "points": 1},
}


def attacked(lm: zu.LanguageModel, facts: zu.AuditFacts, name: str) -> dict[str, str]:
    """Percent of the forget facts, their paraphrases and the retained facts that are answered under each attack."""
    found = {"plain": _shares(facts, *_plain(lm, facts))}
    for attack, options in ATTACKS.items():
        registered = plugins().registry.get("audit", attack)
        context = zu.AuditContext(0, 32)
        outcomes = registered.load()(lm, facts, registered.spec.options(**options), context)
        for variant, one in outcomes.items():
            found[variant] = _shares(
                facts, one.answered["forget"], one.answered["retain"], one.report["paraphrases"]
            )
        print(f"{name}: {found}", flush=True)
    return found


def _plain(lm: zu.LanguageModel, facts: zu.AuditFacts) -> tuple[list[float], list[float], float]:
    scorer = Scorer(lm, 32)
    own, others = (
        [float(score.exact) for score in scorer.score([zu.Probe(r.prompt, r.answer) for r in group])]
        for group in (facts.forget, facts.retain)
    )
    wordings = scorer.score([zu.Probe(text, r.answer) for r in facts.forget for text in r.paraphrases])
    return own, others, sum(score.exact for score in wordings) / max(1, len(wordings))


def _shares(
    facts: zu.AuditFacts, forget: Sequence[float | None], retain: Sequence[float | None], wordings: float
) -> str:
    asked = [value for value in forget if value is not None]
    kept = [value for value in retain if value is not None]
    numbers = (sum(asked) / len(asked), wordings, sum(kept) / len(kept))
    return " / ".join(f"{100 * number:.0f}" for number in numbers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--facts", required=True)
    parser.add_argument("--text", required=True)
    asked = parser.parse_args()
    lm = zu.LanguageModel.from_pretrained(asked.model, dtype="float32")
    records = [replace(request, neighbours=()) for request in facts_of(asked.facts)]
    scorer = Scorer(lm, 32)
    forget = list(known_of(scorer, records[:FACTS]))
    retain = list(known_of(scorer, [replace(r, paraphrases=()) for r in records[FACTS : FACTS + 80]]))
    facts = zu.AuditFacts(tuple(forget), tuple(retain))
    wordings = sum(len(r.paraphrases) for r in forget)
    print(f"{len(forget)} facts, {wordings} known paraphrases, {len(retain)} others", flush=True)
    config = {**EDIT, "background": {"name": "text", "path": asked.text, "documents": 150}}
    edit = zu.unlearn(lm, lm.tokenizer, forget, config, retain=retain, plugins=plugins())
    found = {"ours": attacked(lm, facts, "ours")}
    edit.revert()
    found["untouched"] = attacked(lm, facts, "untouched")
    print("| | " + " | ".join(found["ours"]) + " |")
    for name, row in found.items():
        print(f"| {name} | " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
