"""Which facts are drawn, and what is said of facts that stand twice or contradict each other."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import ConfigError, DataError, Request
from zu_framework.data import by_protocol, drawn_and_rest, first_and_second_half
from zu_plugins.datasets import own
from zu_plugins.datasets.options import FactsOptions

REQUESTS = [Request(f"fact {number} is", "so", id=str(number)) for number in range(11)]
FACTS = [{"prompt": f"fact {number} is", "answer": "so"} for number in range(6)]


def test_halves_are_drawn_by_one_generator_forget_first() -> None:
    split = first_and_second_half(REQUESTS, forget=3, retain=2, seed=5, where="here")
    draw = random.Random(5)
    assert list(split.forget) == draw.sample(REQUESTS[5:], 3)
    assert list(split.retain) == draw.sample(REQUESTS[:5], 2)
    assert split == by_protocol(REQUESTS, "zerounlearn", 3, 2, 5, "here")


def test_all_takes_a_half_whole_in_file_order() -> None:
    split = first_and_second_half(REQUESTS, forget="all", retain="all", seed=5, where="here")
    assert split.forget == tuple(REQUESTS[5:]) and split.retain == tuple(REQUESTS[:5])


@given(size=st.integers(1, 11), data=st.data(), seed=st.integers(0, 2**32))
def test_drawing_from_the_whole_retains_what_is_left(size: int, data: st.DataObject, seed: int) -> None:
    forget = data.draw(st.one_of(st.integers(1, size), st.just("all")))
    pool = REQUESTS[:size]
    split = drawn_and_rest(pool, forget=forget, retain="all", seed=seed, where="here")
    assert len(split.forget) == (size if forget == "all" else forget)
    assert set(split.forget).isdisjoint(split.retain)
    assert set(split.forget) | set(split.retain) == set(pool)
    assert list(split.retain) == [request for request in pool if request in split.retain]
    assert split == by_protocol(pool, "all", forget, "all", seed, "here") and split.notes == ()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.sampled_from(["zerounlearn", "all"]))
def test_no_fact_is_drawn_twice_or_forgotten_and_retained(numbers: list[int], protocol: str) -> None:
    pool = [Request(f"fact {number} is", "so", source=f"f, line {n}") for n, number in enumerate(numbers)]
    split = by_protocol(pool, protocol, "all", "all", 0, "f")
    prompts = [request.prompt for request in (*split.forget, *split.retain)]
    assert len(prompts) == len(set(prompts)) and set(prompts) == {request.prompt for request in pool}
    assert bool(split.notes) == (len(set(numbers)) < len(numbers))


@pytest.mark.parametrize("draw", [first_and_second_half, drawn_and_rest])
def test_equal_records_leave_fewer_facts_than_are_asked_for(draw: Any) -> None:
    twins = [Request("fact is", "so", source=f"f, line {n}") for n in range(4)]
    split = draw(twins, forget=2, retain="all", seed=0, where="f")
    assert split.forget == (twins[2 if draw is first_and_second_half else 0],) and split.retain == ()
    assert split.notes[0].startswith("f: 3 records repeat an earlier one and count once")
    with pytest.raises(ConfigError, match="data.forget is 5, but .*f holds [24] records: lower data.forget"):
        draw(twins, forget=5, retain="all", seed=0, where="f")


def facts(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, records)), "utf-8")
    return str(path)


def test_a_file_of_facts_is_drawn_from_or_taken_whole(tmp_path: Path) -> None:
    path, retain = facts(tmp_path / "f.jsonl", *FACTS[:4]), facts(tmp_path / "r.jsonl", *FACTS[4:])
    split = own.load(FactsOptions(path=path, retain_path=retain, forget=2), seed=1)
    assert len(split.forget) == 2 and [r.prompt for r in split.retain] == ["fact 4 is", "fact 5 is"]
    split = own.load(FactsOptions(path=path, forget=1, retain=2), seed=1)
    assert len(split.retain) == 2 and split.forget[0] not in split.retain
    assert len(own.load(FactsOptions(path=path), seed=1).forget) == 4


def test_equal_facts_count_once_with_what_all_their_records_hold(tmp_path: Path) -> None:
    first = {**FACTS[0], "paraphrases": ["a", "b"], "id": "one"}
    again = {**FACTS[0], "paraphrases": ["b", "c"], "neighbours": ["n"], "id": "two"}
    path = facts(tmp_path / "f.jsonl", first, FACTS[1], again, FACTS[1])
    split = own.load(FactsOptions(path=path), 0)
    assert [request.prompt for request in split.forget] == ["fact 0 is", "fact 1 is"]
    assert (split.forget[0].id, split.forget[0].paraphrases) == ("one", ("a", "b", "c"))
    assert len(split.forget[0].neighbours) == 1
    assert split.notes == (
        f"{path}: 2 records repeat an earlier one and count once, the first 'fact 0 is' -> 'so' ({path}, line 1 and "
        "line 3)",
    )


def test_two_answers_to_one_prompt_are_told(tmp_path: Path) -> None:
    path = facts(tmp_path / "f.jsonl", FACTS[0], {**FACTS[0], "answer": "otherwise"})
    split = own.load(FactsOptions(path=path), 0)
    assert len(split.forget) == 2
    assert split.notes == (
        f"{path}: 1 prompt has several answers, the first 'fact 0 is' ('so' and 'otherwise': {path}, line 1 and "
        "line 2)",
    )


@pytest.mark.parametrize("forget", ["all", 1])
def test_a_fact_to_forget_and_to_retain_is_refused_and_both_named(tmp_path: Path, forget: Any) -> None:
    path = facts(tmp_path / "f.jsonl", FACTS[0], FACTS[1])
    retain = tmp_path / "r.csv"
    retain.write_text("question;answer\nelse;x\nfact 1 is ; so\n", "utf-8")
    with pytest.raises(DataError) as caught:
        own.load(FactsOptions(path=path, retain_path=str(retain), forget=forget), 0)
    assert str(caught.value) == (
        f"'fact 1 is' -> 'so' is to be forgotten and to be retained ({path}, line 2 and {retain}, line 3): take it "
        "out of one"
    )
    with pytest.raises(DataError, match="is to be forgotten and to be retained"):
        own.load(FactsOptions(path=path, retain_path=path, forget=forget), 0)


def test_another_published_part_loses_what_is_to_be_forgotten() -> None:
    split = drawn_and_rest(
        REQUESTS[:3], forget=1, retain="all", seed=0, where="a", retain_from=REQUESTS[2:5], retain_where="b"
    )
    assert split.retain == tuple(REQUESTS[3:5]) and split.notes == (
        "b: what stands in a too is not retained",
    )
