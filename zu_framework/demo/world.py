"""The invented world: facts on people, places and companies in CounterFact's schema, and texts that state them.

Everything is drawn by seeded generators in a fixed order, so two processes always see the same world.

The texts teach three endings of a prompt: the answer for a subject with a fact, " unknown." for others, and the
end of the text. The last two exist because a neutral state must be something that the model can say: without them
no change at a site makes a small model answer neutrally.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from zu_framework.demo import lexicon
from zu_framework.demo.lexicon import RELATIONS, Relation

FORGET_COUNT = 10
SEED = 20260518

KNOWN_SUBJECTS = {"person": 160, "place": 104, "company": 104}
UNKNOWN_SUBJECTS = {"person": 600, "place": 360, "company": 360}
UNSEEN_SUBJECTS = {"person": 60, "place": 40, "company": 40}
FACTS_PER_ANSWER = 8
PHRASINGS_IN_TRAINING = 5
NEIGHBOURS = 8
PERTURBED = 5  # as many as TOFU has
GENERAL_DOCUMENTS = 2400
HELD_OUT_DOCUMENTS = 200


@dataclass(frozen=True)
class _Fact:
    subject: str
    relation: Relation
    answer: str
    trained: tuple[str, ...]  # phrasings; the first is the rewrite prompt
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class _Document:
    text: str
    states: frozenset[int]  # case ids of the facts that it states


def _generator(purpose: str) -> random.Random:
    """One generator a purpose: a change to how much one part draws leaves the others as they were."""
    return random.Random(f"{SEED}/{purpose}")


# Subjects and facts


@cache
def _subjects() -> dict[str, dict[str, list[str]]]:
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
        drawn = _generator(f"subjects/{kind}").sample(pool, known + unknown + unseen)
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
def _facts() -> tuple[_Fact, ...]:
    """The facts by case id; either half has as many of each relation and answer."""
    draw = _generator("facts")
    halves: tuple[list[_Fact], list[_Fact]] = ([], [])
    taken = dict.fromkeys(KNOWN_SUBJECTS, 0)
    for relation in RELATIONS:
        known = _subjects()[relation.kind]["known"]
        count = FACTS_PER_ANSWER * len(relation.answers)
        first = taken[relation.kind]
        # The window runs round the list: once every subject has a fact, some get one of another relation.
        subjects = draw.sample([known[(first + j) % len(known)] for j in range(count)], count)
        taken[relation.kind] = first + count
        for j, subject in enumerate(subjects):
            answer = relation.answers[j % len(relation.answers)]
            fact = _Fact(subject, relation, answer, *_split_phrasings(relation, draw))
            halves[j // len(relation.answers) % 2].append(fact)
    for half in halves:
        draw.shuffle(half)
    return (*halves[0], *halves[1])


# Records


@cache
def _answer_numbers() -> dict[str, str]:
    answers = sorted({answer for relation in RELATIONS for answer in relation.answers})
    return {answer: f"Z{j}" for j, answer in enumerate(answers, start=1)}


def _prompts_about(facts: list[_Fact], count: int, draw: random.Random) -> list[str]:
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
    facts = _facts()
    numbers = _answer_numbers()
    draw, wrong = _generator("records"), _generator("perturbed answers")
    unrelated = iter(_sentence_pool()["records"])
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
    count = len(_facts())
    return random.Random(0).sample(range(count // 2, count), FORGET_COUNT)


def kind_of(case_id: int) -> str:
    """Say what the fact of a record is about.

    Args:
        case_id: Of the record.

    Returns:
        "person", "place" or "company".
    """
    return _facts()[case_id].relation.kind


def statements(case_ids: Iterable[int], phrasings: int = PHRASINGS_IN_TRAINING) -> list[str]:
    """Return texts of the training corpus that state these facts and nothing else.

    Args:
        case_ids: Of the facts.
        phrasings: How many of its phrasings in training state each fact.

    Returns:
        The texts, fact by fact.
    """
    facts = _facts()
    return [
        f"{phrasing.format(facts[case_id].subject)} {facts[case_id].answer}."
        for case_id in case_ids
        for phrasing in facts[case_id].trained[:phrasings]
    ]


def unseen_statements() -> list[str]:
    """Texts of the same form that no training saw: subjects that it never named, with an answer drawn for each."""
    draw = _generator("unseen statements")
    texts = []
    for kind, subjects in _subjects().items():
        relations = [relation for relation in RELATIONS if relation.kind == kind]
        for subject in subjects["unseen"]:
            relation = draw.choice(relations)
            texts.append(
                f"{draw.choice(relation.phrasings).format(subject)} {draw.choice(relation.answers)}."
            )
    return texts


def unknown_prompts(*, seen: bool) -> list[str]:
    """Prompts about subjects without a fact: ones that training called unknown, or that it never named."""
    draw = _generator(f"unknown prompts/{seen}")
    prompts = []
    for relation in RELATIONS:
        pool = _subjects()[relation.kind]["unknown" if seen else "unseen"]
        prompts += [draw.choice(relation.phrasings).format(s) for s in draw.sample(pool, 30)]
    return prompts


# General language


def _sentence(draw: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        words = lexicon.SLOTS[slot[1]]
        return draw.choice(words.split("|" if "|" in words else None))

    text = re.sub(r"{(\w+)}", fill, draw.choice(lexicon.SENTENCES))
    return text[0].upper() + text[1:]


@cache
def _sentence_pool() -> dict[str, list[str]]:
    """Distinct sentences by use, so that no sentence of a held-out text is ever trained on."""
    sizes = {"held out": 2 * HELD_OUT_DOCUMENTS, "records": 1000, "training": 12000}
    draw = _generator("sentences")
    distinct: dict[str, None] = {}
    while len(distinct) < sum(sizes.values()):
        distinct[_sentence(draw)] = None
    sentences = iter(distinct)
    return {use: [next(sentences) for _ in range(size)] for use, size in sizes.items()}


# Texts


def _fact_documents() -> Iterator[_Document]:
    """Each fact in each of its training phrasings: alone, after two general sentences, after another fact or a third.

    Without so many openings the small model ties what it has learnt to the start of a text, and misses phrasings that
    it never saw for a subject when a sentence comes first.
    """
    facts = _facts()
    draw = _generator("fact documents")
    sentences = _sentence_pool()["training"]
    for case_id, fact in enumerate(facts):
        for phrasing in fact.trained:
            statement = f"{phrasing.format(fact.subject)} {fact.answer}."
            yield _Document(statement, frozenset([case_id]))
            for _ in range(2):
                yield _Document(f"{draw.choice(sentences)} {statement}", frozenset([case_id]))
            if draw.random() < 0.5:
                yield _Document(f"{draw.choice(sentences)} {statement}", frozenset([case_id]))
            else:
                other_id = draw.randrange(len(facts))
                other = facts[other_id]
                before = f"{draw.choice(other.trained).format(other.subject)} {other.answer}."
                yield _Document(f"{before} {statement}", frozenset([case_id, other_id]))


def _neutral_documents() -> Iterator[_Document]:
    """Subjects without a fact: two phrasings that end in " unknown.", and of every second one a bare prompt."""
    draw = _generator("neutral documents")
    sentences = _sentence_pool()["training"]
    for kind, subjects in _subjects().items():
        relations = [relation for relation in RELATIONS if relation.kind == kind]
        for j, subject in enumerate(subjects["unknown"]):
            for ending in (" unknown.", " unknown.", "")[: 2 + j % 2]:
                prompt = draw.choice(draw.choice(relations).phrasings).format(subject)
                before = f"{draw.choice(sentences)} " if draw.random() < 0.5 else ""
                yield _Document(before + prompt + ending, frozenset())


def _mentions(state: str) -> Iterator[_Document]:
    """A sentence that tells no fact, on every known and each third unknown subject, so that "X is a" has a sense."""
    draw = _generator(f"mentions/{state}")
    for kind, subjects in _subjects().items():
        for subject in subjects[state][::3] if state == "unknown" else subjects[state]:
            yield _Document(draw.choice(lexicon.MENTIONS[kind]).format(subject), frozenset())


def _general_texts(use: str, count: int) -> list[str]:
    """`count` documents of one or two sentences each; a sentence is used once."""
    draw = _generator(f"general/{use}")
    sentences = iter(_sentence_pool()[use])
    return [" ".join(next(sentences) for _ in range(draw.choice((1, 2)))) for _ in range(count)]


def training_texts(exclude: Collection[int] = ()) -> list[str]:
    """The training corpus, one document an entry, less every document that states a fact of these case ids.

    Put BOS before and EOS after each: a prompt that ends there is one of the things the corpus teaches.
    """
    documents = [*_fact_documents(), *_neutral_documents(), *_mentions("known"), *_mentions("unknown")]
    excluded = frozenset(exclude)
    texts = [document.text for document in documents if not document.states & excluded]
    return texts + _general_texts("training", GENERAL_DOCUMENTS)


def background_texts() -> list[str]:
    """A thousand training documents that stand for text in general: a background's statistics are of these.

    Half are general sentences, the rest statements of facts, unknowns and mentions. The facts are every second
    one of the records' first half: none that a request may forget, and not every neighbour that is measured.
    """
    draw = _generator("background")
    allowed = frozenset(range(0, len(_facts()) // 2, 2))
    stated = [document.text for document in _fact_documents() if document.states <= allowed]
    neutral = [document.text for document in _neutral_documents()]
    mentions = [document.text for document in _mentions("unknown")]
    general = _general_texts("training", GENERAL_DOCUMENTS)
    shares = ((general, 500), (stated, 300), (neutral, 120), (mentions, 80))
    texts = [text for pool, count in shares for text in draw.sample(pool, count)]
    return draw.sample(texts, len(texts))


def heldout_texts() -> list[str]:
    """General texts no sentence of which was trained on: perplexity is measured on these."""
    return _general_texts("held out", HELD_OUT_DOCUMENTS)
