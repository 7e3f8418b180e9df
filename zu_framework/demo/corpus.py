"""The texts that state the invented world's facts, and general ones: for training, background and perplexity.

The texts teach three endings of a prompt: the answer for a subject with a fact, " unknown." for others, and the
end of the text. The last two exist because a neutral state must be something that the model can say: without them
no change at a site makes a small model answer neutrally.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

from zu_framework.demo import lexicon
from zu_framework.demo.facts import all_facts, generator, subjects_by_kind
from zu_framework.demo.lexicon import RELATIONS

GENERAL_DOCUMENTS = 2400
HELD_OUT_DOCUMENTS = 200


@dataclass(frozen=True)
class _Document:
    text: str
    states: frozenset[int]  # case ids of the facts that it states


def _sentence(draw: random.Random) -> str:
    def fill(slot: re.Match[str]) -> str:
        words = lexicon.SLOTS[slot[1]]
        return draw.choice(words.split("|" if "|" in words else None))

    text = re.sub(r"{(\w+)}", fill, draw.choice(lexicon.SENTENCES))
    return text[0].upper() + text[1:]


@cache
def sentence_pool() -> dict[str, list[str]]:
    """Distinct sentences by use, so that no sentence of a held-out text is ever trained on."""
    sizes = {"held out": 2 * HELD_OUT_DOCUMENTS, "records": 1000, "training": 12000}
    draw = generator("sentences")
    distinct: dict[str, None] = {}
    while len(distinct) < sum(sizes.values()):
        distinct[_sentence(draw)] = None
    sentences = iter(distinct)
    return {use: [next(sentences) for _ in range(size)] for use, size in sizes.items()}


def _fact_documents() -> Iterator[_Document]:
    """Each fact in each of its training phrasings: alone, after two general sentences, after another fact or a third.

    Without so many openings the small model ties what it has learnt to the start of a text, and misses phrasings that
    it never saw for a subject when a sentence comes first.
    """
    facts = all_facts()
    draw = generator("fact documents")
    sentences = sentence_pool()["training"]
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
    draw = generator("neutral documents")
    sentences = sentence_pool()["training"]
    for kind, subjects in subjects_by_kind().items():
        relations = [relation for relation in RELATIONS if relation.kind == kind]
        for j, subject in enumerate(subjects["unknown"]):
            for ending in (" unknown.", " unknown.", "")[: 2 + j % 2]:
                prompt = draw.choice(draw.choice(relations).phrasings).format(subject)
                before = f"{draw.choice(sentences)} " if draw.random() < 0.5 else ""
                yield _Document(before + prompt + ending, frozenset())


def _mentions(state: str) -> Iterator[_Document]:
    """A sentence that tells no fact, on every known and each third unknown subject, so that "X is a" has a sense."""
    draw = generator(f"mentions/{state}")
    for kind, subjects in subjects_by_kind().items():
        for subject in subjects[state][::3] if state == "unknown" else subjects[state]:
            yield _Document(draw.choice(lexicon.MENTIONS[kind]).format(subject), frozenset())


def _general_texts(use: str, count: int) -> list[str]:
    """`count` documents of one or two sentences each; a sentence is used once."""
    draw = generator(f"general/{use}")
    sentences = iter(sentence_pool()[use])
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
    draw = generator("background")
    allowed = frozenset(range(0, len(all_facts()) // 2, 2))
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
