"""What the invented world offers: its facts in CounterFact's schema, and statements of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache
from typing import Any

from zu_framework.demo.corpus import sentence_pool
from zu_framework.demo.facts import PHRASINGS_IN_TRAINING, Fact, all_facts, generator, subjects_by_kind
from zu_framework.demo.lexicon import RELATIONS

FORGET_COUNT = 10
NEIGHBOURS = 8
PERTURBED = 5  # as many as TOFU has


@cache
def _answer_numbers() -> dict[str, str]:
    answers = sorted({answer for relation in RELATIONS for answer in relation.answers})
    return {answer: f"Z{j}" for j, answer in enumerate(answers, start=1)}


def _prompts_about(facts: list[Fact], count: int, draw: random.Random) -> list[str]:
    """`count` training prompts about these facts; a fact gets its second prompt once each has its first."""
    shuffled = draw.sample(facts, len(facts))
    rounds = range(PHRASINGS_IN_TRAINING)
    return [fact.trained[j].format(fact.subject) for j in rounds for fact in shuffled][:count]


def records() -> list[dict[str, Any]]:
    """The facts in CounterFact's schema, a fresh list each call.

    `paraphrase_prompts` are the phrasings that training never showed for that subject, some after an unrelated
    sentence. `neighborhood_prompts` are about subjects of the first half with the same relation and answer, and
    `attribute_prompts` about those whose answer is the new target: so a neighbour is never itself among requests
    drawn from the second half. In TOFU's names each has a `paraphrased_answer`, the answer in other words, and five
    as `perturbed_answer`, other answers of the relation in the same words.
    """
    facts = all_facts()
    numbers = _answer_numbers()
    draw, wrong = generator("records"), generator("perturbed answers")
    unrelated = iter(sentence_pool()["records"])
    retained = facts[: len(facts) // 2]
    rows = []
    for case_id, fact in enumerate(facts):
        relation = fact.relation
        new = draw.choice([answer for answer in relation.answers if answer != fact.answer])
        others = [f for f in retained if f.relation is relation and f.subject != fact.subject]
        neighbours = [f for f in others if f.answer == fact.answer]
        attributes = [f for f in others if f.answer == new]
        paraphrases = [phrasing.format(fact.subject) for phrasing in fact.held_out]
        rows.append(
            {
                "case_id": case_id,
                "pararel_idx": relation.phrasings.index(fact.trained[0]) + 100 * RELATIONS.index(relation),
                "requested_rewrite": {
                    "prompt": fact.trained[0],
                    "relation_id": relation.number,
                    "target_new": {"str": new, "id": numbers[new]},
                    "target_true": {"str": fact.answer, "id": numbers[fact.answer]},
                    "subject": fact.subject,
                },
                "paraphrase_prompts": [
                    f"{next(unrelated)} {prompt}" if j else prompt for j, prompt in enumerate(paraphrases)
                ],
                "neighborhood_prompts": _prompts_about(neighbours, NEIGHBOURS, draw),
                "attribute_prompts": _prompts_about(attributes, NEIGHBOURS, draw),
                "generation_prompts": [phrasing.format(fact.subject) for phrasing in fact.trained[1:]],
                "paraphrased_answer": f"{fact.answer}, {relation.what}",
                "perturbed_answer": [
                    f"{answer}, {relation.what}"
                    for answer in wrong.sample([a for a in relation.answers if a != fact.answer], PERTURBED)
                ],
            }
        )
    return rows


def forget_case_ids() -> list[int]:
    """The facts that the demo forgets and the twin never saw: a seeded sample of the records' second half."""
    count = len(all_facts())
    return random.Random(0).sample(range(count // 2, count), FORGET_COUNT)


def kind_of(case_id: int) -> str:
    """Say what the fact of a record is about.

    Args:
        case_id: Of the record.

    Returns:
        "person", "place" or "company".
    """
    return all_facts()[case_id].relation.kind


def statements(case_ids: Iterable[int], phrasings: int = PHRASINGS_IN_TRAINING) -> list[str]:
    """Return texts of the training corpus that state these facts and nothing else.

    Args:
        case_ids: Of the facts.
        phrasings: How many of its phrasings in training state each fact.

    Returns:
        The texts, fact by fact.
    """
    facts = all_facts()
    return [
        f"{phrasing.format(facts[case_id].subject)} {facts[case_id].answer}."
        for case_id in case_ids
        for phrasing in facts[case_id].trained[:phrasings]
    ]


def unseen_statements() -> list[str]:
    """Texts of the same form that no training saw: subjects that it never named, with an answer drawn for each."""
    draw = generator("unseen statements")
    texts = []
    for kind, subjects in subjects_by_kind().items():
        relations = [relation for relation in RELATIONS if relation.kind == kind]
        for subject in subjects["unseen"]:
            relation = draw.choice(relations)
            texts.append(
                f"{draw.choice(relation.phrasings).format(subject)} {draw.choice(relation.answers)}."
            )
    return texts


def unknown_prompts(*, seen: bool) -> list[str]:
    """Prompts about subjects without a fact: ones that training called unknown, or that it never named."""
    draw = generator(f"unknown prompts/{seen}")
    prompts = []
    for relation in RELATIONS:
        pool = subjects_by_kind()[relation.kind]["unknown" if seen else "unseen"]
        prompts += [draw.choice(relation.phrasings).format(s) for s in draw.sample(pool, 30)]
    return prompts
