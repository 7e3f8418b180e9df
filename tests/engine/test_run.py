"""Whole runs through the public doors: what they leave, and that failures leave nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zu_framework as zu
from tests.engine.weights import weights
from zu_framework import LanguageModel, SolverError, ZuError
from zu_framework.problem import EditProblem, Update
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.specs import SolverSpec

Settings = dict[str, Any]


MEASURED = {
    "before": [
        "efficacy",
        "generalization",
        "contains",
        "answer_rank",
        "answer_probability",
        "specificity",
        "retained",
        "perplexity",
    ],
    # beside them what compares with the untouched model: answer_ratio and kl
    "after": [
        "efficacy",
        "generalization",
        "contains",
        "answer_rank",
        "answer_ratio",
        "answer_probability",
        "specificity",
        "retained",
        "kl/mean",
        "kl/p95",
        "perplexity",
    ],
}


def raising(problem: EditProblem, options: Any) -> Update:
    """A solver that fails at the second site it sees."""
    if raising_calls.append(0) or len(raising_calls) > 1:
        raise RuntimeError("the solver broke")
    return Update(dense=torch.ones_like(problem.weight))


raising_calls: list[int] = []


def not_finite(problem: EditProblem, options: Any) -> Update:
    return Update(dense=torch.full_like(problem.weight, float("nan")))


def wrong_shape(problem: EditProblem, options: Any) -> Update:
    return Update(dense=torch.zeros(2, 2))


def with_solver(name: str, function: Any) -> Plugins:
    """The installed plugins and one solver of this module."""
    from zu_framework.registry.manager import load_plugins

    plugins = load_plugins()

    class Here(Registered):
        def load(self) -> Any:
            return function

    plugins.registry.add(Here(SolverSpec(name, target="here:solve", summary="of a test"), "here"))
    return plugins


def test_a_run_leaves_a_whole_folder(settings: Settings) -> None:
    result = zu.run(settings)
    assert {p.name for p in result.folder.iterdir()} == {
        "config.yaml",
        "metrics.json",
        "edit.safetensors",
        "undo.safetensors",
        "ledger",
        "log.jsonl",
        "facts.json",
        "analysis.safetensors",
        "report.html",
    }
    metrics = json.loads((result.folder / "metrics.json").read_text())
    for when in ("before", "after"):
        assert list(metrics[when]) == MEASURED[when]
        for measured in metrics[when].values():
            assert measured["grain"]
            assert measured["denominator"] > 0
    events = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert {"load", "background", "targets", "solve", "write", "measure"} <= {
        e["name"] for e in events if e["event"] == "phase"
    }
    assert all(e["peak_memory_bytes"] > 1e6 for e in events if e["event"] == "phase")
    assert len([e for e in events if e["event"] == "site"]) == 2
    site = result.edit.report["sites"]["model.layers.0.mlp.down_proj"][0]
    assert site["relative_change"] > 0
    assert {"residual", "rank"} <= set(site["solver"])


def test_the_config_of_a_run_runs_again_to_the_same_edit(settings: Settings) -> None:
    first = zu.run(settings)
    config = yaml.safe_load((first.folder / "config.yaml").read_text())
    config["output"]["name"] = "two"
    second = zu.run(config)
    ours, theirs = load_file(first.folder / "edit.safetensors"), load_file(second.folder / "edit.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_intermediates_are_kept_under_their_names(settings: Settings) -> None:
    settings["output"] |= {"intermediates": True, "model": True, "adapter": True}
    result = zu.run(settings)
    kept = load_file(result.folder / "sites" / "model.layers.1.mlp.down_proj.safetensors")
    o, i = kept["weight_before"].shape
    shapes = {"keys": (i, 4), "values": (o, 4), "targets": (o, 4), "sensitive": (o, 4), "z": (o, 4)}
    assert {k: tuple(kept[k].shape) for k in shapes} == shapes
    assert tuple(kept["value_moment"].shape) == (o, o)
    saved = LanguageModel.from_pretrained(str(result.folder / "model"), device="cpu")
    site = saved.site(1)
    assert torch.equal(saved.weight(site), kept["weight_after"])
    assert torch.equal(result.edit.lm.weight(site), kept["weight_after"])
    assert (result.folder / "adapter" / "adapter_model.safetensors").exists()


def test_values_are_what_the_weight_makes_of_the_keys(settings: Settings) -> None:
    settings["output"]["intermediates"] = True
    kept = load_file(zu.run(settings).folder / "sites" / "model.layers.0.mlp.down_proj.safetensors")
    torch.testing.assert_close(kept["weight_before"] @ kept["keys"], kept["values"], rtol=1e-4, atol=1e-6)


def test_requests_one_a_pass(settings: Settings) -> None:
    settings["solver"] |= {"group_size": 1}
    result = zu.run(settings)
    assert all(len(steps) == 4 for steps in result.edit.report["sites"].values())
    assert all(len(site.steps) == 4 for site in result.edit.sites)


@pytest.mark.parametrize(
    ("function", "kind", "said"),
    [
        (raising, RuntimeError, "the solver broke"),
        (not_finite, SolverError, "NaN or infinite entries"),
        (wrong_shape, SolverError, r"shape \(2, 2\)"),
    ],
)
def test_a_solver_that_fails_leaves_the_model_as_it_was(
    settings: Settings, lm: LanguageModel, function: Any, kind: type[Exception], said: str
) -> None:
    raising_calls.clear()
    settings["solver"] = {"name": "broken"}
    before = weights(lm)
    requests = [zu.Request("The capital of Quinania is", "Warsaw", "Quinania")]
    with pytest.raises(kind, match=said):
        zu.unlearn(lm, None, requests, settings, plugins=with_solver("broken", function))
    assert weights(lm) == before
    assert all(not p.requires_grad or p.grad is None for p in lm.model.parameters())
    with pytest.raises(kind, match=said):
        raising_calls.clear()
        zu.run(settings, plugins=with_solver("broken", function))
    assert list(Path(settings["output"]["folder"]).iterdir()) == []


def test_a_full_disk_leaves_no_run_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zu_framework.store.tensor_files.save_file", full)
    with pytest.raises(ZuError, match="cannot be written.*No space left"):
        zu.run(settings)
    assert list(Path(settings["output"]["folder"]).iterdir()) == []


def test_observers_see_each_site_and_the_result(settings: Settings) -> None:
    from zu_framework import hookimpl
    from zu_framework.registry.manager import load_plugins

    seen: list[Any] = []

    class Observer:
        @hookimpl
        def zu_site_solved(self, site: Any, problem: Any, update: Any) -> None:
            seen.append(site.module)

        @hookimpl
        def zu_run_finished(self, result: Any) -> None:
            seen.append(result.folder.name)

    plugins = load_plugins()
    plugins.manager.register(Observer())
    zu.run(settings, plugins=plugins)
    assert seen == ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj", "one"]


def test_a_killed_run_leaves_no_run_folder_and_the_next_one_works(settings: Settings, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    code = (
        "import os, signal, sys\nimport zu_framework as zu\n"
        "def progress(label, done, total):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"zu.run({str(config)!r}, progress=progress)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == -9
    assert not (tmp_path / "runs" / "one").exists()
    assert zu.run(settings).folder.exists()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["one"]


def test_installed_plugins_are_loaded_once() -> None:
    assert installed_plugins() is installed_plugins()
