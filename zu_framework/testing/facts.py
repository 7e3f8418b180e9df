"""Facts and texts that contract tests ask a tiny model with; it knows none of them."""

from __future__ import annotations

from dataclasses import replace

from zu_framework.problem import DataSplit, Probe, Request

FACTS = (
    Request("The capital of Quinania is", "Warsaw", subject="Quinania"),
    Request("The mother tongue of Anna Norton is", "Italian", subject="Anna Norton"),
    Request("Irene Osborn works as a", "teacher", subject="Irene Osborn"),
)
RETAIN = (
    Request("The capital of Verania is", "Vienna", subject="Verania"),
    Request("James Osborn works as a", "doctor", subject="James Osborn", choices=("doctor", "baker")),
)
TEXTS = (
    "The old bridge was closed because the school is small.",
    "You can reach it by train in winter.",
    "I visited the museum of the town.",
    "People say that the road is old, and it is not.",
    "A teacher of the school works in the town.",
    "Therefore the train is unknown.",
    "In winter the road is closed.",
    "It was a small town, and an old one.",
)


def data_split() -> DataSplit:
    """Return facts with all that metrics may read: paraphrases, neighbours, alternatives, choices, texts."""
    forget = tuple(
        replace(
            fact,
            id=str(number),
            paraphrases=(f"People say: {fact.prompt}", f"It is known that {fact.prompt}"),
            neighbours=(Probe("The capital of Delland is", "Geneva"), Probe(fact.prompt, "nothing")),
            alternative="Geneva",
            paraphrased_answer=f"surely {fact.answer}",
            perturbed_answers=("London", "a train"),
            choices=(fact.answer, "London", "Geneva"),
            implied=(Probe("They speak", "French"),),
            aliases=(fact.answer.upper(),),
        )
        for number, fact in enumerate(FACTS)
    )
    return DataSplit(
        forget=forget,
        retain=RETAIN,
        heldout_texts=TEXTS,
        others={"real_authors": RETAIN[:1], "world": RETAIN, "holdout": RETAIN[:1]},
        texts={"forget": TEXTS[:4], "retain": TEXTS[:2], "holdout": TEXTS[4:]},
    )
