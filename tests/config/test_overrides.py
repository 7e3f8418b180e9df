"""Overrides: text is taken as it was written, everything else as YAML reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import ConfigError
from zu_framework.benches import load_bench
from zu_framework.config import Config, load_config

WRITTEN = [
    "dir #1",
    "a: b",
    "a b",
    " unknown",
    "x ${nowhere} y",
    "${",
    "$HOME",
    "[x",
    "{a}",
    "*x",
    "&a",
    "- x",
    "a\\b",
    "1e5",
    "007",
    "2024-01-01",
    "null",
    "~nothing/../x"[1:],
    "'",
    '"',
    "it's",
    'say "x',
    "%x",
    "@x",
    "`x`",
    "!x",
    "a\tb",
    "=",
    "a=b",
    "é",
    "中文",
    "\\${x}",
    "?",
    "? x",
    "|",
    ">",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_text_is_taken_as_written(text: str) -> None:
    config = load_config("zerounlearn", [f"model.path={text}", f"data.path={text}", f"target.text={text}x"])
    assert config.model.path == text
    assert config.components["data"].options["path"] == text
    assert config.stages[0].components["target"].options["text"] == f"{text}x"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_comes_back_from_the_written_config(text: str) -> None:
    given_text = f"x{text}"
    config = load_config("zerounlearn", [f"data.path={given_text}"])
    assert config.components["data"].options["path"] == given_text
    assert again(config).components["data"].options["path"] == given_text


def again(config: Config) -> Config:
    import yaml

    return load_config(yaml.safe_load(config.to_yaml()))


@pytest.mark.parametrize(
    ("written", "meant"),
    [('" unknown"', " unknown"), ("'a #1'", "a #1"), ('"${x}"', "${x}"), ('"tab\\t"', "tab\t"), ("", "")],
)
def test_one_quoted_text_is_what_stands_between_the_quotes(written: str, meant: str) -> None:
    assert load_config("zerounlearn", [f"target.text={written}"]).stages[0].components["target"].options == {
        "text": meant
    }


@pytest.mark.parametrize("word", ["On", "no", "yes", "off", "true"])
def test_a_word_that_yaml_reads_as_a_truth_value_is_asked_about(word: str) -> None:
    with pytest.raises(ConfigError, match=r"'target\.text' wants text, .*: quote it"):
        load_config("zerounlearn", [f"target.text={word}"])
    assert load_config("zerounlearn", [f'target.text="{word}"']).stages[0].components["target"].options == {
        "text": word
    }


def test_null_empties_a_text_that_may_be_none() -> None:
    assert load_config("demo", ["target.text=null"]).stages[0].components["target"].options["text"] is None
    assert load_config({}, ["output.name=null"]).output.name is None


def test_what_is_no_text_is_read_as_yaml() -> None:
    config = load_config(
        "zerounlearn", ["locator={name: fixed, layers: [1, 2]}", "solver.ridge=1e-3", "seed=0x10"]
    )
    assert config.stages[0].components["locator"].options == {"layers": [1, 2]}
    assert config.stages[0].components["solver"].options["ridge"] == 1e-3
    assert config.seed == 16


def test_stages_and_benches_take_text_as_written_too() -> None:
    config = load_config("two-stages", ["then.0.target.text=a #1", "target.text=b: c"])
    assert [stage.components["target"].options["text"] for stage in config.stages] == ["b: c", "a #1"]
    inherited = load_config({"base": "demo", "then": [{"target": {"steps": 2}}]}, ["target.text=b: c"])
    assert [stage.components["target"].options["text"] for stage in inherited.stages] == ["b: c", "b: c"]
    bench = load_bench("paper-table", ["seeds=1", "datasets.MCF.data.path=a #1", "background.path=b ${x}"])
    assert {cell.config.components["data"].options["path"] for cell in bench.cells} == {"a #1", ""}
    assert {cell.config.components["background"].options["path"] for cell in bench.cells} == {"b ${x}"}


def test_a_later_override_wins_whatever_it_is() -> None:
    lower = load_config("zerounlearn", ["data.path=a #1"])
    assert load_config(lower, ["data.path=b"]).components["data"].options["path"] == "b"
    assert load_config(lower, ["data={path: c}"]).components["data"].options["path"] == "c"
    assert load_config(lower, ["data.name=jsonl"]).components["data"].options == {}


def test_a_list_is_given_whole() -> None:
    with pytest.raises(
        ConfigError, match=r"'locator\.layers' cannot be .*: give it whole, locator\.layers=\[\.\.\.\]"
    ):
        load_config("demo", ["locator.layers.0=1"])


PATHS = ["model.path", "evaluate.reference", "evaluate.text", "output.folder", "data.path", "background.path"]


@pytest.mark.parametrize("key", PATHS)
def test_a_leading_tilde_is_the_home_folder(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for config in (load_config("zerounlearn", [f"{key}=~/x y"]), load_config(_nested(key, "~/x y"))):
        group, name = key.split(".")
        chosen = getattr(config, group, None) or config.components[group]
        value = getattr(chosen, name, None) or chosen.options[name]
        assert value == "/home/somebody/x y"
        assert "/home/somebody/x y" in config.to_yaml()


def _nested(key: str, value: str) -> dict[str, object]:
    group, name = key.split(".")
    return {"base": "zerounlearn", group: {name: value}}


def test_every_option_that_names_a_path_is_marked_as_one() -> None:
    """By its name: whoever adds an option called path, folder or file marks it, so that `~` is expanded."""
    from dataclasses import fields

    from zu_framework.config import CORE_GROUPS
    from zu_framework.registry import installed_plugins

    found = [one for one in installed_plugins().registry if one.plugin.startswith("zu_")]
    options = [one.spec.options for one in found]
    for one in [*CORE_GROUPS.values(), *options]:
        for option in fields(one):
            if option.name.endswith(("path", "folder", "file")):
                assert option.metadata.get("path"), f"{one.__name__}.{option.name}"


def test_a_path_object_in_a_mapping_is_its_text() -> None:
    assert load_config({"model": {"path": Path("a") / "b"}}).model.path == "a/b"
