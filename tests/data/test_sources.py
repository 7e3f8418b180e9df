"""Where a set lies: files and folders, copies of hub data sets, the hub itself; and tables of one's own."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.datasets import pieces
from zu_framework import ConfigError, DataError
from zu_framework.data import Part, Source, hub_records
from zu_plugins.datasets import counterfact, mmlu, tofu
from zu_plugins.datasets.options import (
    CounterFactOptions,
    MmluOptions,
    TofuOptions,
)


def clone(path: Path, tables: dict[str, dict[str, pieces.Rows]]) -> str:
    """A folder as a data set of the hub is kept: a card that names configs, splits and files, and the tables."""
    card = ["---", "configs:"]
    for config, splits in tables.items():
        card += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            file = f"data/{config}-{split}.jsonl"
            (path / "data").mkdir(parents=True, exist_ok=True)
            (path / file).write_text("\n".join(map(json.dumps, rows)), "utf-8")
            card += [f"  - split: {split}", f"    path: {file}"]
    (path / "README.md").write_text("\n".join([*card, "---", "", "# A set"]), "utf-8")
    return str(path)


def test_a_copy_of_a_hub_data_set_is_read_through_its_card(tmp_path: Path) -> None:
    path = clone(tmp_path, {name: {"train": rows} for name, rows in pieces.TOFU.items()})
    split = tofu.load(TofuOptions(path=path), 0)
    assert (
        len(split.forget) == 3
        and len(split.retain) == 6
        and sorted(split.others) == ["holdout", "real_authors", "world_facts"]
    )
    assert split.forget[0].source == f"{path}:forget01, split train, record 1"
    assert len(split.forget[0].perturbed_answers) == 5
    here = tofu.load(TofuOptions(path=pieces.folder(tmp_path / "files", pieces.TOFU, lines=True)), 0)
    assert [r.prompt for r in split.retain] == [r.prompt for r in here.retain]


def test_parts_that_a_hub_data_set_lacks_are_left_out_or_named(tmp_path: Path) -> None:
    path = clone(tmp_path, {"forget01": {"train": pieces.qa("a", 2)}, "other": {"train": pieces.qa("a", 2)}})
    assert hub_records(path, "world_facts", "train") is None
    assert hub_records(path, "forget01", "test") is None
    assert len(hub_records(path, "forget01", "train") or ()) == 2
    with pytest.raises(DataError, match="holds none of retain99.json"):
        tofu.load(TofuOptions(path=path), 0)


def test_a_hub_data_set_with_several_splits_wants_one_named(tmp_path: Path) -> None:
    path = clone(tmp_path, {"default": {"train": pieces.COUNTERFACT, "test": pieces.COUNTERFACT[:3]}})
    with pytest.raises(DataError, match="has several splits: give data.split, one of train, test"):
        counterfact.load(CounterFactOptions(path=path, forget="all"), 0)
    split = counterfact.load(CounterFactOptions(path=path, split="test", protocol="all", forget="all"), 0)
    assert len(split.forget) == 3 and split.forget[0].alternative == "Elsewhere"


def test_mmlu_of_the_hub_has_one_table_of_all_subjects_and_one_of_each(tmp_path: Path) -> None:
    law = [{**row, "subject": "law"} for row in pieces.choices("law", 2)]
    art = [{**row, "subject": "art"} for row in pieces.choices("art", 1)]
    path = clone(tmp_path, {"all": {"test": law + art}, "law": {"test": law}, "art": {"test": art}})
    split = mmlu.load(MmluOptions(path=path), 0)
    assert len(split.forget) == 3
    split = mmlu.load(MmluOptions(path=path, subjects=["law"], answers="text"), 0)
    assert [(request.prompt, request.answer) for request in split.forget] == [
        ("Which law 0?", "one"),
        ("Which law 1?", "two"),
    ]


def test_the_hub_is_not_reached_here_and_the_message_says_what_was_tried() -> None:
    with pytest.raises(
        DataError, match="'locuslab/TOFU' is no file or folder here, and as a data set of the hub"
    ):
        tofu.load(TofuOptions(path="locuslab/TOFU"), 0)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="needs the package datasets: pip install 'zu_framework.hub.'"):
        tofu.load(TofuOptions(path="locuslab/TOFU"), 0)


@pytest.mark.parametrize(
    ("path", "hub"),
    [
        ("locuslab/TOFU", True),
        ("azhx/counterfact:default", True),
        ("facts/mine.json", False),
        ("facts", False),
        ("./facts/mine", False),
        ("/data/facts", False),
        ("a/b/c", False),
        ("facts/mine.csv", False),
    ],
)
def test_what_is_taken_for_a_name_of_the_hub(path: str, hub: bool) -> None:
    assert Source(path).on_hub is hub


def test_a_name_in_a_folder_that_is_there_is_a_mistyped_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts").mkdir()
    with pytest.raises(DataError, match="^facts/mine: no such file; data.path is relative to"):
        tofu.load(TofuOptions(path="facts/mine"), 0)


def test_a_folder_that_is_there_is_never_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locuslab" / "TOFU").mkdir(parents=True)
    with pytest.raises(DataError, match="^locuslab/TOFU: the folder holds none of forget01.json"):
        tofu.load(TofuOptions(path="locuslab/TOFU"), 0)


def test_a_folder_or_a_file_where_the_other_is_wanted(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.TOFU, lines=True)
    with pytest.raises(DataError, match="is a file; data.path is the folder that holds forget01.json"):
        tofu.load(TofuOptions(path=f"{path}/forget01.json"), 0)
    with pytest.raises(DataError, match="no such file; data.path is relative to"):
        tofu.load(TofuOptions(path=f"{path}/deeper/still"), 0)
    with pytest.raises(ConfigError, match="data.path is empty: give the file"):
        tofu.load(TofuOptions(), 0)
    with pytest.raises(DataError, match="the folder holds no SUBJECT_test.csv"):
        mmlu.load(MmluOptions(path=path), 0)


def test_a_folder_with_the_publishers_file(tmp_path: Path) -> None:
    pieces.listed(tmp_path / "multi_counterfact.json", pieces.COUNTERFACT)
    split = counterfact.load(CounterFactOptions(path=str(tmp_path), forget="all"), 0)
    assert len(split.forget) == len(split.retain) == 2
    assert len(Source(str(tmp_path)).read(Part(("nothing", "multi_counterfact")))) == 4
