"""The facts of the invented world: who and what there is, and what is true of them.

Everything is drawn by seeded generators in a fixed order, so two processes always see the same world.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from zu_framework.demo import lexicon
from zu_framework.demo.lexicon import RELATIONS, Relation

SEED = 20260518

KNOWN_SUBJECTS = {"person": 160, "place": 104, "company": 104}
UNKNOWN_SUBJECTS = {"person": 600, "place": 360, "company": 360}
UNSEEN_SUBJECTS = {"person": 60, "place": 40, "company": 40}
FACTS_PER_ANSWER = 8
PHRASINGS_IN_TRAINING = 5


@dataclass(frozen=True)
class Fact:
    """What is true of a subject, and the phrasings that say so.

    Args:
        subject: A name.
        relation: What is said of it.
        answer: The relation's value.
        trained: Phrasings in training; the first is the rewrite prompt.
        held_out: Phrasings that training never shows.
    """

    subject: str
    relation: Relation
    answer: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]


def generator(purpose: str) -> random.Random:
    """One generator a purpose: a change to how much one part draws leaves the others as they were."""
    return random.Random(f"{SEED}/{purpose}")


@cache
def subjects_by_kind() -> dict[str, dict[str, list[str]]]:
    """Names by kind, then by what training says of them: "known" facts, "unknown" or nothing, "unseen"."""
    names = {
        "person": [f"{first} {last}" for first in lexicon.FIRST_NAMES for last in lexicon.LAST_NAMES],
        "place": [start + end for start in lexicon.PLACE_STARTS for end in lexicon.PLACE_ENDS],
        "company": [
            f"{kind} of the {quality} {emblem}"
            for kind in lexicon.COMPANY_KINDS
            for quality in lexicon.COMPANY_QUALITIES
            for emblem in lexicon.COMPANY_EMBLEMS
        ],
    }
    subjects = {}
    for kind, pool in names.items():
        known, unknown, unseen = KNOWN_SUBJECTS[kind], UNKNOWN_SUBJECTS[kind], UNSEEN_SUBJECTS[kind]
        drawn = generator(f"subjects/{kind}").sample(pool, known + unknown + unseen)
        subjects[kind] = {
            "known": drawn[:known],
            "unknown": drawn[known : known + unknown],
            "unseen": drawn[known + unknown :],
        }
    return subjects


def _split_phrasings(relation: Relation, draw: random.Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phrasings in training and held out.

    A name has other tokens at the start of a text than inside it, so training shows each name in both places.
    """
    while True:
        order = draw.sample(relation.phrasings, len(relation.phrasings))
        trained, held_out = tuple(order[:PHRASINGS_IN_TRAINING]), tuple(order[PHRASINGS_IN_TRAINING:])
        if 1 <= sum(phrasing.startswith(("{}", "The {}")) for phrasing in trained) < PHRASINGS_IN_TRAINING:
            return trained, held_out


@cache
def all_facts() -> tuple[Fact, ...]:
    """The facts by case id; either half has as many of each relation and answer."""
    draw = generator("facts")
    halves: tuple[list[Fact], list[Fact]] = ([], [])
    taken = dict.fromkeys(KNOWN_SUBJECTS, 0)
    for relation in RELATIONS:
        known = subjects_by_kind()[relation.kind]["known"]
        count = FACTS_PER_ANSWER * len(relation.answers)
        first = taken[relation.kind]
        # The window runs round the list: once every subject has a fact, some get one of another relation.
        subjects = draw.sample([known[(first + j) % len(known)] for j in range(count)], count)
        taken[relation.kind] = first + count
        for j, subject in enumerate(subjects):
            answer = relation.answers[j % len(relation.answers)]
            fact = Fact(subject, relation, answer, *_split_phrasings(relation, draw))
            halves[j // len(relation.answers) % 2].append(fact)
    for half in halves:
        draw.shuffle(half)
    return (*halves[0], *halves[1])
