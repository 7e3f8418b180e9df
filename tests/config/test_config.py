"""Configuration: layers, provenance, and what is refused at the door."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zu_framework import ConfigError, UnknownName
from zu_framework.config import load_config, options_from, ready_made
from zu_framework.specs import Spec


@dataclass
class Texts:
    words: list[str] = field(default_factory=list)
    word: str = ""


def test_every_ready_made_config_loads() -> None:
    assert {"demo", "zerounlearn", "zerounlearn-local", "zerounlearn-gd"} <= set(ready_made())
    for name in ready_made():
        assert load_config(name).name == name


def test_overrides_lie_over_the_file_and_the_last_one_wins() -> None:
    config = load_config("zerounlearn", ["data.forget=8", "seed=3", "seed=4", 'target.text=" unknown"'])
    assert config.components["data"].options["forget"] == 8
    assert config.stages[0].components["target"].options["text"] == " unknown"
    assert config.seed == 4


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_choosing_another_component_drops_the_options_of_the_one_before(order: tuple[int, int]) -> None:
    overrides = ["solver.name=zerounlearn-gd", "solver.steps=7"]
    config = load_config("zerounlearn", [overrides[i] for i in order])
    assert dict(config.stages[0].components["solver"].options) == {"steps": 7}


def test_choosing_the_same_component_again_keeps_its_options() -> None:
    config = load_config("zerounlearn", ["solver.name=zerounlearn", "solver.slack=0"])
    assert config.stages[0].components["solver"].options["slack"] == 0
    assert config.stages[0].components["solver"].options["forget_weight"] == 50


def test_a_name_alone_is_short_for_a_group() -> None:
    assert (
        load_config("zerounlearn", ["solver=zerounlearn-gd"]).stages[0].components["solver"].name
        == "zerounlearn-gd"
    )


def test_a_file_may_start_from_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: zerounlearn-gd\nseed: 7\nlocator: {name: fixed, layers: [2]}\n")
    config = load_config(path)
    assert (config.name, config.seed) == ("mine", 7)
    assert config.stages[0].components["solver"].name == "zerounlearn-gd"
    assert dict(config.stages[0].components["locator"].options) == {"layers": [2]}


def test_a_resolved_config_loads_again_to_the_same(tmp_path: Path) -> None:
    config = load_config("zerounlearn", ["data.forget=8"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path).tree == config.tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nsolver: {name: [", r"bad\.yaml, line 2: not valid YAML"),
        ("- a\n- b\n", r"bad\.yaml, line 1: a config is a mapping"),
        ("seed: 1\nsover: {name: x}\n", r"bad\.yaml, line 2: unknown group 'sover': did you mean 'solver'"),
        (
            "model:\n  path: x\n  dtpye: float32\n",
            r"bad\.yaml, line 3: unknown key 'model\.dtpye': did you mean 'dtype'",
        ),
        ("model:\n  batch_size: many\n", r"bad\.yaml, line 2: 'model\.batch_size' cannot be 'many'"),
        ("model: 3\n", r"bad\.yaml, line 1: group 'model' is a mapping"),
        ("seed: soon\n", r"bad\.yaml, line 1: seed must be a whole number"),
        ("seed: -1\n", r"line 1: seed must be a whole number >= 0, got -1"),
        ("seed: true\n", r"line 1: seed must be a whole number"),
        ("solver: {forget_weight: 1}\n", r"line 1: group 'solver' needs a `name`"),
        (
            "solver: {name: x, group_size: -1}\n",
            r"solver\.group_size is the number of requests that one pass takes",
        ),
        ("seed: 1\nseed: 2\n", r"line 2: key 'seed' stands twice"),
        ("model: {batch_size: 0}\n", r"model\.batch_size must be at least 1, got 0"),
        ("base: 3\n", r"`base` names a config"),
        ("output: {undo: perhaps}\n", r"'output\.undo' cannot be 'perhaps'"),
        ("evaluate: {metrics: efficacy}\n", r"'evaluate\.metrics' cannot be 'efficacy'"),
        ("output: {name: '${nowhere}'}\n", r"'output\.name' cannot be"),
    ],
)
def test_a_broken_file_is_refused_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "write key=value"),
        ("=3", "write key=value"),
        ("solver..x=3", "empty part"),
        ("model.batch_size=[", "not valid YAML"),
        ("seed=[", "seed must be a whole number"),
        ("sede=1", "did you mean 'seed'"),
    ],
)
def test_a_broken_override_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config("zerounlearn", [override])


def test_an_unknown_config_is_met_with_close_ones() -> None:
    with pytest.raises(UnknownName, match=r"unknown config 'zerounlern': did you mean 'zerounlearn'"):
        load_config("zerounlern")
    with pytest.raises(ConfigError, match="does not exist"):
        load_config("no/such/file.yaml")


@pytest.mark.parametrize("given", ["mine", "mine.yml", "mien.yaml", "sub/mine", "sub/mine.yml"])
def test_a_mistyped_file_gets_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for folder in (".", "sub"):
        Path(folder, "mine.yaml").write_text("seed: 1\n")
    meant = Path(given).with_name("mine.yaml")
    with pytest.raises((ConfigError, UnknownName), match=f"{given}'.* did you mean '{meant}'[?] ready-made"):
        load_config(given)


@pytest.mark.parametrize("given", [["The", False], True])
def test_a_word_that_yaml_reads_as_a_truth_value_is_not_taken_for_text(given: object) -> None:
    spec = Spec("one", "a:b", "", Texts)
    key = "words" if isinstance(given, list) else "word"
    with pytest.raises(ConfigError, match=rf"'collector.{key}' wants text, .* as (True|False): quote it"):
        options_from(spec, {key: given}, where="collector")
    assert options_from(spec, {"words": ["No"], "word": "on"}, where="collector") == Texts(["No"], "on")
