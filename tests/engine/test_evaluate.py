"""`zu eval`: what it leaves and prints, beside a base model, and what it refuses before weights are read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import zu as command
from zu_framework import ConfigError, DataError, LanguageModel, ModelError, UnknownName
from zu_framework.config import load_config
from zu_framework.engine import evaluate as module
from zu_framework.engine.evaluate import Evaluation, evaluate, suites
from zu_framework.engine.session import resolve
from zu_framework.registry.manager import installed_plugins
from zu_framework.testing import tiny_model


@pytest.fixture
def suite(tmp_path: Path, facts: Path, text: Path) -> Path:
    """A suite of one's own over six facts."""
    path = tmp_path / "mine.yaml"
    tree = {
        "model": {"device": "cpu"},
        "data": {"name": "jsonl", "path": str(facts), "forget": 4},
        "evaluate": {
            "metrics": ["efficacy", "answer_probability", "privleak", "perplexity"],
            "text": str(text),
        },
        "output": {"folder": str(tmp_path / "runs"), "name": "one"},
    }
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same kind."""
    folder = tmp_path_factory.mktemp("model") / "other"
    tiny_model("llama", seed=3).save(folder)
    return folder


def test_data_without_facts_to_retain_are_evaluated(checkpoint: Path, suite: Path) -> None:
    result = evaluate(str(checkpoint), suite, ["data.forget=6", "evaluate.metrics=[efficacy]"])
    assert result.after["efficacy"].denominator == 6


def test_a_model_beside_its_base(checkpoint: Path, other: Path, suite: Path) -> None:
    result = evaluate(str(other), suite, base=str(checkpoint))
    found: dict[str, Any] = json.loads((result.folder / "metrics.json").read_text())
    assert list(found["before"]) == list(found["after"]) == ["efficacy", "answer_probability", "perplexity"]
    assert found["models"]["before"]["path"] == str(checkpoint)
    assert found["models"]["after"]["fingerprint"] == LanguageModel.from_pretrained(str(other)).fingerprint()
    assert found["before"]["perplexity"]["value"] != found["after"]["perplexity"]["value"]
    assert found["after"]["answer_probability"]["low"] < found["after"]["answer_probability"]["high"]
    cost = found["cost"]["after"]
    assert cost["probes"] == 4 and cost["texts"] == 18  # distinct ones of 60
    assert "privleak" in found["notes"][0] and "evaluate.reference" in found["notes"][0]
    rows = list(csv.DictReader((result.folder / "metrics.csv").open()))
    assert [(row["metric"], row["model"]) for row in rows][3:] == [
        (name, str(other)) for name in ("efficacy", "answer_probability", "perplexity")
    ]
    assert rows[0]["better"] == "lower" and float(rows[2]["value"]) == found["before"]["perplexity"]["value"]
    assert {path.name for path in result.folder.iterdir()} == {
        "config.yaml",
        "log.jsonl",
        "metrics.csv",
        "metrics.json",
    }


def test_the_same_model_on_both_sides_measures_the_same(checkpoint: Path, suite: Path) -> None:
    result = evaluate(str(checkpoint), suite, base=str(checkpoint))
    for name, measured in result.after.items():
        before = result.before[name]
        assert (before.value, before.denominator) == (pytest.approx(measured.value), measured.denominator)
    alone = evaluate(str(checkpoint), suite, ["output.name=two"])
    assert not alone.before
    for name, measured in result.after.items():
        assert alone.after[name].value == pytest.approx(measured.value)
    again = evaluate(str(checkpoint), result.folder / "config.yaml", ["output.name=three"])
    assert again.after == alone.after


def test_a_reference_gives_what_compares_with_one(checkpoint: Path, other: Path, tmp_path: Path) -> None:
    metrics = "evaluate.metrics=[truth_ratio,forget_quality]"
    where = [f"output.folder={tmp_path}", "data.forget=6"]
    result = evaluate(str(checkpoint), "demo", [metrics, f"evaluate.reference={checkpoint}", *where])
    assert result.after["forget_quality"].value == 1  # its own twin
    changed = evaluate(str(checkpoint), "demo", [metrics, f"evaluate.reference={other}", *where])
    assert 0 < changed.after["forget_quality"].value < 1
    assert changed.after["truth_ratio"] == result.after["truth_ratio"]


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["evaluate.metrics=[privleak]"], ConfigError, "evaluate.reference=FOLDER"),
        (["evaluate.metrics=[eficacy]"], UnknownName, "did you mean 'efficacy'"),
        (["evaluate.reference=./nowhere"], ModelError, "no such folder"),
        (["model.path=elsewhere"], ConfigError, "first argument"),
        (["solver.name=memit"], ConfigError, "belongs to a run"),
        (["then=[{solver: memit}]"], ConfigError, "belongs to a run"),
        (["data.path=nowhere.jsonl"], DataError, "nowhere.jsonl"),
        (["evaluate.options.efficacy.k=1"], ConfigError, "has no options"),
        (["evaluate.options.mia_min_k.k=0.1"], ConfigError, "which evaluate.metrics does not list"),
        (
            ["evaluate.metrics=[mia_min_k]", "evaluate.options.mia_min_k.k=2"],
            ConfigError,
            "k must be in (0, 1], got 2",
        ),
        (
            ["evaluate.metrics=[mia_min_k]", "evaluate.options.mia_min_k.kk=1"],
            ConfigError,
            "unknown key 'evaluate.options.mia_min_k.kk': did you mean 'k'",
        ),
        (["evaluate.metrics=[]"], ConfigError, "evaluate.metrics is empty: name at least one metric"),
        (["evaluate.metrics=[multi_hop]"], DataError, "nothing that any of its metrics measures"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_mend_leaves_no_folder(
    checkpoint: Path,
    suite: Path,
    overrides: list[str],
    error: type[Exception],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if error is not DataError:
        monkeypatch.setattr(module, "load_model", None)  # refused before weights are read
    with pytest.raises(error) as refused:
        evaluate(str(checkpoint), suite, overrides)
    assert said in str(refused.value)
    assert not list((tmp_path / "runs").glob("*"))


def test_models_and_suites_that_are_not_there(suite: Path, checkpoint: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'counterfact'"):
        evaluate(str(checkpoint), "counterfct")
    with pytest.raises(ModelError, match="^model './nowhere': no such folder"):
        evaluate("./nowhere", suite)
    with pytest.raises(ModelError, match="^base './nowhere': no such folder"):
        evaluate(str(checkpoint), suite, base="./nowhere")


def test_the_suite_for_own_facts_measures_them(checkpoint: Path, other: Path, tmp_path: Path) -> None:
    facts = tmp_path / "own.csv"
    facts.write_text(
        "prompt;subject;answer;paraphrases\nThe capital of {} is;France;Paris;{}'s capital is\n", "utf-8"
    )
    retain = tmp_path / "retain.json"
    retain.write_text('[{"question": "Who wrote Hamlet?", "answer": "Shakespeare"}]', "utf-8")
    where = [
        f"data.path={facts}",
        f"data.retain_path={retain}",
        f"output.folder={tmp_path}",
        "output.name=own",
    ]
    result = evaluate(str(other), "facts", where, base=str(checkpoint))
    measured = {name: found.denominator for name, found in result.after.items()}
    assert measured["efficacy"] == measured["generalization"] == measured["retained"] == 1
    assert "specificity" not in measured and result.before.keys() == result.after.keys()


@pytest.mark.parametrize("name", suites())
def test_every_suite_names_what_exists(name: str) -> None:
    resolve(load_config(suites()[name], ["evaluate.reference=zu:demo-twin"]), installed_plugins(), ("data",))


def test_the_command_prints_the_table(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, other: Path, suite: Path
) -> None:
    code, out, err = command(capsys, "eval", str(other), "--base", str(checkpoint), "--suite", str(suite))
    assert code == 0, err
    assert "tiny" in out and "other" in out and "95 % intervals over facts" in out
    assert " to " in out and "note: not measured: privleak" in out and "4 probes, 18 texts" in out
    assert all(len(line) <= 80 for line in out.splitlines() if not line.startswith("folder:"))
    code, _, err = command(capsys, "eval", str(other))
    assert code == 2 and "--suite" in err


def test_an_evaluation_is_what_the_api_says(checkpoint: Path, suite: Path) -> None:
    assert isinstance(evaluate(str(checkpoint), str(suite)), Evaluation)
