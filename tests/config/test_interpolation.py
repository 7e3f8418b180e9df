"""Interpolations reach across groups; the written config says everything, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import ConfigError
from zu_framework.config import Config, escaped, load_config
from zu_framework.config.interpolation import resolved


def ref(name: str) -> str:
    return "${" + name + "}"


def written(config: Config) -> Any:
    return yaml.safe_load(config.to_yaml())


def test_a_value_may_come_from_another_group_a_default_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACTS", "f.jsonl")
    config = load_config(
        {
            "base": "zerounlearn-local",
            "model": {"path": "m", "batch_size": "${report.prompts}"},
            "data": {"name": "jsonl", "path": "${oc.env:FACTS}", "forget": "${.retain}"},
            "background": {"path": "${data.path}", "max_tokens": "${evaluate.max_tokens}"},
            "evaluate": {"text": "${model.path}/${data.path}"},
            "seed": "${data.forget}",
        },
        ["data.retain=7"],
    )
    assert config.model.batch_size == 64
    assert config.components["data"].options == {"path": "f.jsonl", "forget": 7, "retain": 7}
    assert config.components["background"].options["path"] == "f.jsonl"
    assert config.components["background"].max_tokens == 256
    assert (config.evaluate.text, config.seed) == ("m/f.jsonl", 7)
    assert "${" not in config.to_yaml()


def test_a_stage_and_a_whole_group_may_be_interpolated() -> None:
    config = load_config(
        {
            "base": "zerounlearn-local",
            "locator": {"name": "fixed", "layers": [3]},
            "then": [{"locator": {"layers": "${locator.layers}"}, "target": {"steps": "${seed}"}}],
            "seed": 5,
        }
    )
    assert config.stages[1].components["locator"].options == {"layers": [3]}
    assert config.stages[1].components["target"].options["steps"] == 5


BROKEN = {
    "nowhere": ("${model.pth}", "Interpolation key 'model.pth' not found"),
    "no variable": ("${oc.env:ZU_NOT_THERE}", "Environment variable 'ZU_NOT_THERE' not found"),
    "itself": ("${data.path}", "Recursive interpolation"),
    "no resolver": ("${shell:rm}", "Unsupported interpolation type shell"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_interpolation_that_cannot_be_is_refused_by_line_and_key(tmp_path: Path, case: str) -> None:
    text, said = BROKEN[case]
    path = tmp_path / "mine.yaml"
    path.write_text(f"base: zerounlearn\ndata:\n  path: '{text}'\n")
    with pytest.raises(ConfigError, match=rf"mine\.yaml, line 3: 'data\.path' cannot be .*{said}"):
        load_config(path)


def test_what_is_no_interpolation_is_refused_by_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: zerounlearn\ndata:\n  path: '${'\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 3: data\.path: no viable alternative at input"):
        load_config(path)


def test_two_that_lead_to_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="'model.path' cannot be .*it leads back to itself"):
        load_config({"model": {"path": ref("evaluate.text")}, "evaluate": {"text": ref("model.path")}})


def test_interpolations_that_grow_beyond_bounds_are_refused_soon() -> None:
    bomb = {f"a{n}": ref(f".a{n - 1}") * 2 for n in range(60, 0, -1)} | {"a0": "x" * 10}
    with pytest.raises(ConfigError, match=r"'model\.device_map\.a\d+' cannot be .*longer than 65536"):
        load_config({"model": {"device_map": bomb}})


@given(
    st.recursive(
        st.text(alphabet="$\\{}ab?: "), lambda below: st.lists(below) | st.dictionaries(st.text("ab"), below)
    )
)
def test_escaped_values_come_back_as_they_were(value: Any) -> None:
    assert resolved({"x": escaped(value)}, {}) == {"x": value}


# ---------------------------------------------------------------------------------------------- what is written out


def test_the_written_config_has_every_key_of_every_group_and_component() -> None:
    tree = written(load_config("two-stages", ["evaluate.metrics=[efficacy, mia_min_k]"]))
    assert tree["model"]["batch_tokens"] == 8192 and tree["report"]["facts"] == 500
    assert tree["name"] == "two-stages" and tree["seed"] == 0
    assert tree["solver"]["group_size"] == "all" and tree["background"]["max_tokens"] == 512
    assert tree["evaluate"]["options"]["mia_min_k"]["k"] > 0
    from zu_framework.config import COMPONENT_GROUPS
    from zu_framework.registry import installed_plugins, option_defaults

    registry = installed_plugins().registry
    for stage in (tree, *tree["then"]):
        for group, kind in COMPONENT_GROUPS.items():
            if group in stage:
                defaults = option_defaults(registry.get(kind, stage[group]["name"]).spec.options)
                assert set(defaults) <= set(stage[group])


def test_a_changed_default_or_environment_cannot_change_a_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_framework.config import ModelConfig, structured
    from zu_framework.config.structured import _base

    monkeypatch.setenv("FACTS", "one.jsonl")
    config = load_config("zerounlearn", ["data={name: jsonl, path: '${oc.env:FACTS}'}", "output.name=first"])
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    monkeypatch.setenv("FACTS", "two.jsonl")
    monkeypatch.setattr(ModelConfig.__dataclass_fields__["batch_size"], "default", 3)
    _base.cache_clear()
    try:
        again = load_config(path)
        assert structured(ModelConfig, {}, "model", "", {}).batch_size == 3
    finally:
        monkeypatch.undo()
        _base.cache_clear()
    assert again.model.batch_size == 64
    assert again.components["data"].options["path"] == "one.jsonl"
    assert (again.name, again.output.name) == ("zerounlearn", None), "a rerun takes a new name"
    assert again.to_yaml() == config.to_yaml()


SECRETS = [
    ("HF_TOKEN", "model.revision"),
    ("OPENAI_API_KEY", "model.revision"),
    ("DB_PASSWORD", "model.revision"),
    ("MY_SECRET", "evaluate.text_label"),
    ("AWS_CREDENTIALS", "model.revision"),
    ("PLAIN", "model.device_map.api_key"),
    ("PLAIN", "model.device_map.password"),
]


@pytest.mark.parametrize(("variable", "key"), SECRETS)
def test_a_secret_from_the_environment_is_not_written(
    variable: str, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, "hunter2-abc")
    group, _, name = key.partition(".")
    given: dict[str, Any] = {}
    place = given.setdefault(group, {})
    for part in name.split(".")[:-1]:
        place = place.setdefault(part, {})
    place[name.split(".")[-1]] = ref(f"oc.env:{variable}")
    given["output"] = {"folder": "x/" + ref(key)}
    config = load_config(given)
    assert config.output.folder == "x/hunter2-abc", "the run itself has it"
    text = config.to_yaml()
    assert "hunter2" not in text and ref(f"oc.env:{variable}") in text
    assert f"# read again from where it came, a secret: {key}" in text
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert load_config(path).output.folder == "x/hunter2-abc", "a rerun reads it again"


def test_what_only_resembles_a_secret_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH", "12")
    monkeypatch.setenv("HF_TOKEN", "")
    config = load_config({"model": {"batch_tokens": "${oc.env:BATCH}", "revision": "${oc.env:HF_TOKEN}main"}})
    assert written(config)["model"]["batch_tokens"] == 12
    assert written(config)["model"]["revision"] == "main"
