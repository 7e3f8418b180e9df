"""What the data sets yield: requests, splits, draws."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from zu_framework import Probe, Request
from zu_framework import demo as world
from zu_plugins.datasets import counterfact, demo
from zu_plugins.datasets import own as jsonl
from zu_plugins.datasets.counterfact import filled
from zu_plugins.datasets.options import CounterFactOptions, DemoOptions, DemoTextOptions, JsonLinesOptions
from zu_plugins.datasets.protocol import drawn_and_rest, first_and_second_half
from zu_plugins.datasets.records import Record

REQUESTS = [Request(f"fact {number} is", "so", id=str(number)) for number in range(11)]


def record(number: int, prompt: str = "{} is in", subject: str = "Quin") -> dict[str, Any]:
    return {
        "case_id": number,
        "requested_rewrite": {
            "prompt": prompt,
            "subject": f"{subject}{number}",
            "target_true": {"str": f"Place {number}", "id": "Q1"},
            "target_new": {"str": "Elsewhere", "id": "Q2"},
        },
        "paraphrase_prompts": [f"Braces {{}} here. Quin{number} lies in"],
        "neighborhood_prompts": ["Other is in", "Another is in"],
    }


def write(path: Path, records: list[Any]) -> str:
    path.write_text(json.dumps(records), "utf-8")
    return str(path)


def test_a_counterfact_record_becomes_a_request(tmp_path: Path) -> None:
    path = write(tmp_path / "facts.json", [record(4, prompt="In {x}, {} and {} is in ")])
    (request,) = counterfact.load(CounterFactOptions(path=path, forget=0), seed=0).forget
    assert request.prompt == "In {x}, Quin4 and {} is in"
    assert request.answer == "Place 4" and request.subject == "Quin4"
    assert request.subject_start == len("In {x}, ") and request.id == "4"
    assert request.paraphrases == ("Braces {} here. Quin4 lies in",)
    assert request.neighbours == (Probe("Other is in", "Place 4"), Probe("Another is in", "Place 4"))
    assert request.source == f"{path}, record 1"


braces = st.text(st.sampled_from("ab{} 0:!"), max_size=12)


@given(before=braces.filter(lambda text: "{}" not in text), after=braces, subject=braces)
def test_filling_is_slicing(before: str, after: str, subject: str) -> None:
    template = f"{before}{{}}{after}"
    prompt, start = filled(Record({"prompt": template}, "here"), template, subject)
    assert start == template.index("{}")
    assert prompt == template[:start] + subject + template[start + 2 :].rstrip()


def test_the_subject_is_where_the_braces_were_not_where_it_occurs_last(tmp_path: Path) -> None:
    records = [record(1, prompt="{} of Quin1 is")]
    (request,) = counterfact.load(
        CounterFactOptions(path=write(tmp_path / "f.json", records), forget=0), seed=0
    ).forget
    assert request.prompt == "Quin1 of Quin1 is" and request.subject_start == 0


def test_halves_are_drawn_by_one_generator_forget_first() -> None:
    split = first_and_second_half(REQUESTS, forget=3, retain=2, seed=5, where="here")
    draw = random.Random(5)
    assert list(split.forget) == draw.sample(REQUESTS[5:], 3)
    assert list(split.retain) == draw.sample(REQUESTS[:5], 2)


def test_zero_takes_a_half_whole_in_file_order() -> None:
    split = first_and_second_half(REQUESTS, forget=0, retain=0, seed=5, where="here")
    assert split.forget == tuple(REQUESTS[5:]) and split.retain == tuple(REQUESTS[:5])


@given(size=st.integers(1, 11), data=st.data(), seed=st.integers(0, 2**32))
def test_drawing_from_the_whole_keeps_what_is_left(size: int, data: st.DataObject, seed: int) -> None:
    forget = data.draw(st.integers(0, size))
    pool = REQUESTS[:size]
    split = drawn_and_rest(pool, forget=forget, retain=0, seed=seed, where="here")
    assert len(split.forget) == (forget or size)
    assert set(split.forget).isdisjoint(split.retain)
    assert set(split.forget) | set(split.retain) == set(pool)
    assert list(split.retain) == [request for request in pool if request in split.retain]
    assert split == drawn_and_rest(pool, forget=forget, retain=0, seed=seed, where="here")


def test_equal_records_are_not_lost_from_what_is_left() -> None:
    twins = [REQUESTS[0]] * 4
    split = drawn_and_rest(twins, forget=1, retain=0, seed=0, where="here")
    assert len(split.forget) == 1 and len(split.retain) == 3


def lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text(
        "\n\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\r\n", "utf-8-sig"
    )
    return str(path)


def one(path: Path, **fields: Any) -> Request:
    options = JsonLinesOptions(path=lines(path / "facts.jsonl", {"prompt": "{} is", "answer": "x", **fields}))
    (request,) = jsonl.load(options, seed=0).forget
    return request


def test_json_lines_put_the_subject_at_the_braces(tmp_path: Path) -> None:
    request = one(tmp_path, subject="Mo{}nt", prompt="By {}, {} is ")
    assert request.prompt == "By Mo{}nt, {} is" and request.subject_start == 3


def test_json_lines_find_the_last_occurrence_of_the_subject(tmp_path: Path) -> None:
    request = one(tmp_path, subject="Rome", prompt="Rome, as Rome is")
    assert request.prompt == "Rome, as Rome is" and request.subject_start == 9


def test_json_lines_without_a_subject_are_questions(tmp_path: Path) -> None:
    request = one(tmp_path, prompt="Who wrote it?", subject=None)
    assert request.subject is None and request.subject_end is None


def test_json_lines_take_everything_optional(tmp_path: Path) -> None:
    request = one(
        tmp_path,
        subject="A\u2028b",
        id=12,
        target=" unknown",
        paraphrases=["{} they say is"],
        neighbours=["C is", {"prompt": "D is", "answer": "y"}],
    )
    assert (request.id, request.target, request.paraphrases) == ("12", " unknown", ("{} they say is",))
    assert request.neighbours == (Probe("C is", "x"), Probe("D is", "y"))
    assert request.source.endswith("facts.jsonl, line 1")


def test_json_lines_keep_a_second_file(tmp_path: Path) -> None:
    many = [{"prompt": f"fact {number} is", "answer": "x"} for number in range(6)]
    path, keep = lines(tmp_path / "a.jsonl", *many[:4]), lines(tmp_path / "b.jsonl", *many[4:])
    split = jsonl.load(JsonLinesOptions(path=path, retain_path=keep, forget=2), seed=1)
    assert len(split.forget) == 2 and [r.prompt for r in split.retain] == ["fact 4 is", "fact 5 is"]
    split = jsonl.load(JsonLinesOptions(path=path, forget=1, retain=2), seed=1)
    assert len(split.retain) == 2 and split.forget[0] not in split.retain


def test_the_seed_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "facts.json", [record(number) for number in range(40)])
    load = lambda seed: counterfact.load(CounterFactOptions(path=path, forget=5, retain=5), seed)  # noqa: E731
    assert load(1) == load(1) and load(1) != load(2)


def test_options_are_typed() -> None:
    config = OmegaConf.structured(CounterFactOptions)
    assert OmegaConf.to_object(config) == CounterFactOptions()
    with pytest.raises(ValidationError):
        config.protocol = "halves"
    with pytest.raises(ValidationError):
        config.forget = "many"


def test_the_demo_forgets_what_its_twin_never_saw() -> None:
    split = demo.load(DemoOptions(), seed=0)
    assert [int(request.id) for request in split.forget] == world.forget_case_ids()
    assert len(split.retain) == len(world.records()) // 2
    assert split.heldout_texts == tuple(world.heldout_texts())
    assert all(request.paraphrases and request.neighbours for request in split.forget)


@pytest.mark.parametrize(("forget", "seed"), [(10, 0), (4, 3)])
def test_the_demo_has_rewordings_other_questions_and_texts(forget: int, seed: int) -> None:
    split = demo.load(DemoOptions(forget=forget, retain=20), seed)
    for request in (*split.forget, *split.retain):
        assert request.alternative not in (None, request.answer)
        assert request.paraphrased_answer is not None and request.paraphrased_answer.startswith(
            f"{request.answer}, a"
        )
        assert len(request.perturbed_answers) == 5
    assert sorted(split.others) == ["company", "person", "place"]
    half = len(world.records()) // 2
    named = {request.id for found in split.others.values() for request in found}
    assert len(named) == sum(map(len, split.others.values())) == half - forget
    assert not named & {request.id for request in split.forget} and min(map(int, named)) >= half
    assert {name: len(texts) for name, texts in split.texts.items()} == {
        "forget": 5 * forget, "retain": 20, "holdout": 140,
    }  # fmt: skip
    first = split.forget[0]
    assert split.texts["forget"][0] == f"{first.prompt} {first.answer}."
    assert split.texts["retain"] == tuple(f"{r.prompt} {r.answer}." for r in split.retain)


def test_demo_text_is_cut_at_the_number_of_documents() -> None:
    assert list(demo.documents(DemoTextOptions(documents=3))) == world.background_texts()[:3]


def test_real_records_load_and_their_halves_stay_apart(shared: Path) -> None:
    path = shared / "data" / "counterfact_known.json"
    records = json.loads(path.read_text("utf-8"))
    ids = [str(r["case_id"]) for r in records]
    split = counterfact.load(CounterFactOptions(path=str(path), forget=8), seed=0)
    drawn = random.Random(0).sample(ids[len(ids) // 2 :], 8)
    assert [request.id for request in split.forget] == drawn
    assert [request.id for request in split.retain] == ids[: len(ids) // 2]
    by_id = {str(r["case_id"]): r["requested_rewrite"] for r in records}
    for request in split.forget:
        rewrite = by_id[request.id]
        assert request.prompt == rewrite["prompt"].replace("{}", rewrite["subject"])
        assert request.answer == rewrite["target_true"]["str"]


@pytest.mark.parametrize("name", ["counterfact", "counterfact_known"])
def test_every_real_record_is_a_request(shared: Path, name: str) -> None:
    options = CounterFactOptions(path=str(shared / "data" / f"{name}.json"), protocol="all", forget=0)
    split = counterfact.load(options, seed=0)
    assert len(split.forget) in (300, 1000) and not split.retain
    assert all(request.prompt == request.prompt.rstrip() for request in split.forget)
