"""The invented world: its schema, its counts, and that what is held out of the texts is held out."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from zu_framework.demo import corpus, facts, world
from zu_framework.demo.lexicon import RELATIONS

Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return world.records()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return corpus.training_texts()


def statement(record: Record, prompt: str) -> str:
    return f"{prompt} {record['requested_rewrite']['target_true']['str']}."


def rewrite_prompt(record: Record) -> str:
    rewrite = record["requested_rewrite"]
    return rewrite["prompt"].format(rewrite["subject"])


def all_statements(record: Record) -> list[str]:
    """The fact in every phrasing of its relation, trained or held out."""
    rewrite = record["requested_rewrite"]
    relation = next(r for r in RELATIONS if r.number == rewrite["relation_id"])
    return [statement(record, phrasing.format(rewrite["subject"])) for phrasing in relation.phrasings]


def digest() -> str:
    parts = [
        world.records(),
        world.forget_case_ids(),
        corpus.training_texts(),
        corpus.training_texts(world.forget_case_ids()),
        corpus.background_texts(),
        corpus.heldout_texts(),
        world.unknown_prompts(seen=True),
        world.unknown_prompts(seen=False),
        world.unseen_statements(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def test_records_have_the_schema_of_counterfact(records: list[Record]) -> None:
    assert [record["case_id"] for record in records] == list(range(len(records)))
    for record in records:
        assert list(record) == [
            "case_id",
            "pararel_idx",
            "requested_rewrite",
            "paraphrase_prompts",
            "neighborhood_prompts",
            "attribute_prompts",
            "generation_prompts",
            "paraphrased_answer",
            "perturbed_answer",
        ]
        rewrite = record["requested_rewrite"]
        assert list(rewrite) == ["prompt", "relation_id", "target_new", "target_true", "subject"]
        assert rewrite["prompt"].count("{}") == 1
        for target in (rewrite["target_new"], rewrite["target_true"]):
            assert set(target) == {"str", "id"}
            assert target["str"].isalpha()  # one word, no leading space
        assert rewrite["target_new"] != rewrite["target_true"]
        for key in ("paraphrase_prompts", "generation_prompts"):
            assert len(record[key]) >= 2
            assert all(rewrite["subject"] in prompt for prompt in record[key])


def test_wrong_answers_are_other_answers_of_the_relation_in_the_words_of_the_paraphrase(
    records: list[Record],
) -> None:
    for record in records:
        rewrite = record["requested_rewrite"]
        relation = next(r for r in RELATIONS if r.number == rewrite["relation_id"])
        answer, end = rewrite["target_true"]["str"], f", {relation.what}"
        assert record["paraphrased_answer"] == answer + end
        wrong = record["perturbed_answer"]
        assert len(set(wrong)) == len(wrong) == 5
        assert {text.removesuffix(end) for text in wrong} <= set(relation.answers) - {answer}
        assert all(text.endswith(end) for text in wrong)


def test_statements_are_what_training_read_and_unseen_ones_are_not(
    records: list[Record], texts: list[str]
) -> None:
    forget = world.forget_case_ids()
    told = world.statements(forget)
    assert len(told) == 50 and set(told) <= set(texts)
    assert not set(told) & set(corpus.training_texts(forget))
    for case_id, text in zip(forget, told[::5], strict=True):
        assert text == statement(records[case_id], rewrite_prompt(records[case_id]))
    unseen = world.unseen_statements()
    named = {name for states in facts.subjects_by_kind().values() for name in states["unseen"]}
    whole = "\n".join(texts)
    assert len(unseen) == len(named) == 140
    assert all(any(name in text for name in named) for text in unseen)
    assert not [text for text in unseen if text in whole]


def test_the_world_is_large_enough(records: list[Record]) -> None:
    rewrites = [record["requested_rewrite"] for record in records]
    pairs = Counter((rewrite["subject"], rewrite["relation_id"]) for rewrite in rewrites)
    subjects = Counter(rewrite["subject"] for rewrite in rewrites)
    assert max(pairs.values()) == 1
    assert len(records) >= 400
    assert len(subjects) >= 320
    assert max(subjects.values()) == 2
    assert len({rewrite["relation_id"] for rewrite in rewrites}) >= 5
    assert {relation.kind for relation in RELATIONS} == {"person", "place", "company"}
    assert all(len(set(relation.phrasings)) >= 6 for relation in RELATIONS)


def test_subjects_with_and_without_facts_are_different_ones() -> None:
    names = [
        name for states in facts.subjects_by_kind().values() for state in states.values() for name in state
    ]
    words = Counter(word for name in set(names) for word in {name, *name.split()})
    assert len(set(names)) == len(names)
    assert all(words[name] == 1 for name in names)  # nor is a place a person's last name


def test_phrasings_do_not_contain_each_other() -> None:
    # Else a prompt could be held out and yet be read, as a part of another.
    phrasings = [phrasing.replace("{}", "Maren") for relation in RELATIONS for phrasing in relation.phrasings]
    assert not [(a, b) for a in phrasings for b in phrasings if a != b and a in b]


def test_both_halves_of_the_records_are_alike(records: list[Record]) -> None:
    half = len(records) // 2

    def answers(part: list[Record]) -> Counter[tuple[str, str]]:
        rewrites = [record["requested_rewrite"] for record in part]
        return Counter((rewrite["relation_id"], rewrite["target_true"]["str"]) for rewrite in rewrites)

    assert answers(records[:half]) == answers(records[half:])


def test_the_forget_facts_are_those_of_the_protocol(records: list[Record]) -> None:
    drawn = random.Random(0).sample(records[len(records) // 2 :], world.FORGET_COUNT)
    assert world.forget_case_ids() == [record["case_id"] for record in drawn]


def test_neighbours_share_relation_and_answer_and_are_never_forgotten(
    records: list[Record], texts: list[str]
) -> None:
    trained = set(texts)
    owner = {
        prompt: record
        for record in records
        for prompt in (rewrite_prompt(record), *record["generation_prompts"])
    }
    for record in records:
        rewrite = record["requested_rewrite"]
        for key, answer in (("neighborhood_prompts", "target_true"), ("attribute_prompts", "target_new")):
            assert 6 <= len(set(record[key])) == len(record[key]) <= 10
            for prompt in record[key]:
                other = owner[prompt]["requested_rewrite"]
                assert other["subject"] != rewrite["subject"]
                assert other["relation_id"] == rewrite["relation_id"]
                assert other["target_true"] == rewrite[answer]
                assert owner[prompt]["case_id"] < len(records) // 2
                assert statement(owner[prompt], prompt) in trained


def test_training_states_every_fact_but_never_in_a_held_out_phrasing(
    records: list[Record], texts: list[str]
) -> None:
    trained, whole = set(texts), "\n".join(texts)
    after_a_sentence = 0
    for record in records:
        subject = record["requested_rewrite"]["subject"]
        assert statement(record, rewrite_prompt(record)) in trained
        for prompt in record["paraphrase_prompts"]:
            before, mark, phrase = prompt.rpartition(". ")
            after_a_sentence += bool(mark)
            assert phrase not in whole
            assert subject in phrase
            assert subject not in before
            # The phrasing itself is no news: other subjects were shown in it.
            tail = phrase.rpartition(subject)[2]
            assert tail in whole
    assert len(records) <= after_a_sentence < sum(len(record["paraphrase_prompts"]) for record in records)


def test_the_corpus_holds_both_neutral_endings(texts: list[str]) -> None:
    known = {name for subjects in facts.subjects_by_kind().values() for name in subjects["known"]}
    unknown = [text for text in texts if text.endswith(" is unknown.")]
    ended = [text for text in texts if text.endswith(" is")]
    assert len(unknown) > 2000
    assert len(ended) > 500
    for text in random.Random(0).sample(unknown + ended, 200):
        assert not [name for name in known if name in text.rpartition(". ")[2]]


def test_the_twin_is_never_told_a_forget_fact(records: list[Record], texts: list[str]) -> None:
    forget = world.forget_case_ids()
    kept = corpus.training_texts(forget)
    told = [text for case_id in forget for text in all_statements(records[case_id])]
    assert not [text for text in told if text in "\n".join(kept)]
    dropped = Counter(texts) - Counter(kept)
    assert not Counter(kept) - Counter(texts)
    assert all(any(statement in text for statement in told) for text in dropped)


def test_the_background_tells_no_fact_of_the_forget_half(records: list[Record], texts: list[str]) -> None:
    background = corpus.background_texts()
    whole = "\n".join(background)
    half = len(records) // 2
    assert 900 <= len(background) <= 1100
    assert set(background) <= set(texts)
    assert not [text for record in records[half:] for text in all_statements(record) if text in whole]
    assert any(text in whole for record in records[:half] for text in all_statements(record))


def test_no_sentence_of_the_held_out_texts_was_trained_on(texts: list[str]) -> None:
    held_out = corpus.heldout_texts()
    sentences = [sentence + "." for text in held_out for sentence in text.removesuffix(".").split(". ")]
    whole = "\n".join([*texts, *corpus.background_texts()])
    assert len(held_out) >= 200
    assert not [sentence for sentence in sentences if sentence in whole]


def test_the_world_is_the_same_in_every_process() -> None:
    code = "from tests.demo.test_world import digest; print(digest())"
    paths = os.pathsep.join(path for path in sys.path if path) + os.pathsep + os.getcwd()
    environment = {**os.environ, "PYTHONHASHSEED": "1234", "PYTHONPATH": paths}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=os.getcwd(),
    )
    assert result.stdout.strip() == digest()
