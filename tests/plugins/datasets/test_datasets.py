"""What the data sets yield: requests, splits, draws."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from zu_framework import ConfigError, Probe
from zu_framework import demo as world
from zu_plugins.datasets import counterfact, demo
from zu_plugins.datasets.options import (
    CounterFactOptions,
    DemoOptions,
    DemoTextOptions,
    FactsOptions,
    TofuOptions,
)


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
    path = write(tmp_path / "facts.json", [record(4, prompt="In {x}, {} is in ")])
    (request,) = counterfact.load(CounterFactOptions(path=path, forget="all"), seed=0).forget
    assert request.prompt == "In {x}, Quin4 is in"
    assert request.answer == "Place 4" and request.subject == "Quin4"
    assert request.subject_start == len("In {x}, ") and request.id == "4"
    assert request.paraphrases == ("Braces {} here. Quin4 lies in",)
    assert request.neighbours == (Probe("Other is in", "Place 4"), Probe("Another is in", "Place 4"))
    assert request.source == f"{path}, record 1"


def test_the_subject_is_where_the_braces_were_not_where_it_occurs_last(tmp_path: Path) -> None:
    records = [record(1, prompt="{} of Quin1 is")]
    (request,) = counterfact.load(
        CounterFactOptions(path=write(tmp_path / "f.json", records), forget="all"), seed=0
    ).forget
    assert request.prompt == "Quin1 of Quin1 is" and request.subject_start == 0


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
        config.forget = 1.5


@pytest.mark.parametrize("options", [CounterFactOptions, DemoOptions, FactsOptions, TofuOptions])
@pytest.mark.parametrize(
    ("name", "value"), [("forget", 0), ("retain", 0), ("forget", -1), ("retain", "many")]
)
def test_numbers_of_facts_are_all_or_above_zero(options: Any, name: str, value: Any) -> None:
    hint = f"; {name}=all takes them all" if value == 0 else ""
    with pytest.raises(ConfigError, match=f"^{name} must be all or a number above 0, got {value!r}{hint}$"):
        options(**{name: value})


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
        "forget": 5 * forget,
        "retain": 20,
        "holdout": 140,
    }
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
    options = CounterFactOptions(path=str(shared / "data" / f"{name}.json"), protocol="all", forget="all")
    split = counterfact.load(options, seed=0)
    assert len(split.forget) in (300, 1000) and not split.retain
    assert all(request.prompt == request.prompt.rstrip() for request in split.forget)
