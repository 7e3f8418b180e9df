"""Bad input is met at the door: exit code 2, one message that names what is wrong, nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from zu_framework.cli import main
from zu_framework.testing import tiny_model

Settings = dict[str, Any]
Mutation = Callable[[Settings, Path], None]

RECORD = {
    "case_id": 1,
    "requested_rewrite": {
        "prompt": "The capital of {} is",
        "relation_id": "P36",
        "target_new": {"str": "Oslo", "id": "Q2"},
        "target_true": {"str": "Warsaw", "id": "Q1"},
        "subject": "Quinania",
    },
    "paraphrase_prompts": ["Quinania is ruled from"],
    "neighborhood_prompts": ["The capital of Verania is"],
}


@pytest.fixture
def settings(checkpoint: Path, tmp_path: Path) -> Settings:
    (tmp_path / "text.txt").write_text("\n".join(f"the old bridge number {i} was closed" for i in range(30)))
    (tmp_path / "data.json").write_text(json.dumps([RECORD] * 4))
    shutil.copytree(checkpoint, tmp_path / "model")
    return {
        "model": {"path": str(tmp_path / "model"), "device": "cpu"},
        "data": {"name": "counterfact", "path": str(tmp_path / "data.json"), "forget": 2},
        "locator": {"name": "fixed", "layers": [0]},
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(tmp_path / "text.txt")},
        "target": {"name": "neutral", "steps": 1},
        "solver": {"name": "zerounlearn-local"},
        "output": {"folder": str(tmp_path / "runs")},
    }


def put(path: str, value: Any) -> Mutation:
    """Set one key of the configuration."""

    def mutate(settings: Settings, folder: Path) -> None:
        *groups, last = path.split(".")
        place = settings
        for group in groups:
            place = place[group]
        place[last] = value

    return mutate


def drop(group: str) -> Mutation:
    return lambda settings, folder: settings.pop(group)


def data(text: str | bytes) -> Mutation:
    def mutate(settings: Settings, folder: Path) -> None:
        (folder / "data.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    return mutate


def record(**changes: Any) -> Mutation:
    """The second record of the data, changed in its rewrite."""
    rewrite = {k: v for k, v in (RECORD["requested_rewrite"] | changes).items() if v is not None}  # type: ignore[operator]
    return data(json.dumps([RECORD, RECORD | {"requested_rewrite": rewrite}, RECORD, RECORD]))


def model_file(name: str, content: bytes | None) -> Mutation:
    def mutate(settings: Settings, folder: Path) -> None:
        path = folder / "model" / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    return mutate


def pickled(settings: Settings, folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()
    torch.save({}, folder / "model" / "pytorch_model.bin")


def no_tokenizer(settings: Settings, folder: Path) -> None:
    for path in (folder / "model").glob("tokenizer*"):
        path.unlink()


def other_family(family: str) -> Mutation:
    def mutate(settings: Settings, folder: Path) -> None:
        shutil.rmtree(folder / "model")
        tiny_model(family).save(folder / "model")

    return mutate


def model_config(**changes: Any) -> Mutation:
    def mutate(settings: Settings, folder: Path) -> None:
        path = folder / "model" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return mutate


CASES: dict[str, tuple[Mutation, str]] = {
    # config
    "unknown group": (
        put("sover", {}),
        r"config\.yaml, line \d+: unknown group 'sover': did you mean 'solver'",
    ),
    "unknown option": (
        put("solver.forget_wieght", 3),
        r"line \d+: unknown key 'solver\.forget_wieght': did you mean",
    ),
    "mistyped option": (put("solver.ridge", "much"), r"line \d+: 'solver\.ridge' cannot be 'much'"),
    "negative weight": (put("solver.forget_weight", -1), r"forget_weight.*-1"),
    "unknown solver": (
        put("solver.name", "zerounlern"),
        r"unknown solver 'zerounlern': did you mean 'zerounlearn",
    ),
    "unknown metric": (
        put("evaluate", {"metrics": ["eficacy"]}),
        r"unknown metric 'eficacy': did you mean 'efficacy'",
    ),
    "missing group": (
        drop("target"),
        r"has no group 'target': add `target: \{name: \.\.\.\}`; names: .*neutral",
    ),
    "two null-space rules": (
        put("solver", {"name": "zerounlearn-gd", "null_rank": 3, "null_energy": 0.1}),
        r"null_rank.*null_energy|null_energy.*null_rank",
    ),
    "unknown space": (put("solver.space", "sideways"), r"space.*sideways"),
    "layer out of range": (put("locator.layers", [7]), r"layer 7.*0 to 2"),
    "no layer": (put("locator.layers", []), r"locator\.layers"),
    "unknown model for preset": (put("locator", {"name": "preset"}), r"preset.*locator\.name=fixed"),
    "device that is no device": (put("model.device", "gpu"), r"model\.device 'gpu' is no device"),
    "device that is not there": (
        put("model.device", "mps"),
        r"model\.device 'mps' is not there: .*use model\.device=cpu",
    ),
    "device that holds nothing": (put("model.device", "meta"), r"model\.device 'meta' is not there"),
    "dtype that is no dtype": (put("model.dtype", "int3"), r"model\.dtype.*int3"),
    # data
    "no data path": (put("data.path", ""), r"data\.path"),
    "data file missing": (put("data.path", "nowhere.json"), r"nowhere\.json"),
    "data is a folder": (put("data.path", "."), r"folder|directory"),
    "data not JSON": (data("[{"), r"data\.json.*not JSON"),
    "data not UTF-8": (data(b'["\xff"]'), r"data\.json.*UTF-8"),
    "data not a list": (data('{"a": 1}'), r"data\.json.*list"),
    "data empty": (data("[]"), r"data\.json"),
    "field missing": (record(subject=None), r"data\.json.*record 2.*subject"),
    "prompt without placeholder": (record(prompt="The capital is"), r"data\.json.*record 2.*\{\}"),
    "field of the wrong type": (record(target_true="Warsaw"), r"data\.json.*record 2.*target_true"),
    "empty answer": (record(target_true={"str": " ", "id": "Q"}), r"data\.json.*record 2.*target_true"),
    "more facts than there are": (put("data.forget", 50), r"data\.forget.*50"),
    "background file missing": (put("background.path", "nowhere.txt"), r"nowhere\.txt"),
    "background empty": (lambda s, f: (f / "text.txt").write_text("\n\n") and None, r"text\.txt"),
    # model
    "no model path": (put("model.path", ""), r"model\.path is empty"),
    "model folder missing": (put("model.path", "./nowhere"), r"nowhere"),
    "no config.json": (model_file("config.json", None), r"config\.json"),
    "config.json broken": (model_file("config.json", b"{"), r"config\.json"),
    "weights truncated": (model_file("model.safetensors", b"\x10\x00"), r"safetensors"),
    "weights missing": (model_file("model.safetensors", None), r"safetensors"),
    "weights pickled": (pickled, r"pickle|safetensors"),
    "tokenizer missing": (no_tokenizer, r"tokenizer"),
    "not a causal model": (
        model_config(model_type="t5", architectures=["T5ForConditionalGeneration"]),
        r"t5",
    ),
    "routed experts": (other_family("mixtral"), r"expert"),
    # output
    "output folder is a file": (
        lambda s, f: s["output"].update(folder=str(f / "text.txt")),
        r"output\.folder",
    ),
    "run folder exists": (
        lambda s, f: (s["output"].update(folder=str(f), name="model")) and None,
        r"exists: choose another output\.name",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed_input(
    case: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate, said = CASES[case]
    mutate(settings, tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    before = {p for p in tmp_path.rglob("*") if "runs" not in p.parts}
    with pytest.raises(SystemExit) as stopped:
        main(["run", str(config)])
    printed = capsys.readouterr()
    assert stopped.value.code == 2, printed.err
    assert re.search(said, printed.err, re.DOTALL), printed.err
    assert re.search("^error: ", printed.err, re.MULTILINE)
    assert "Traceback" not in printed.err
    assert {p for p in tmp_path.rglob("*") if "runs" not in p.parts} == before
    assert not list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else True


def test_the_settings_are_sound_to_begin_with(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    main(["check", str(config)])
    assert "ok" in capsys.readouterr().out
    main(["run", str(config)])
    assert "run folder" in capsys.readouterr().out
