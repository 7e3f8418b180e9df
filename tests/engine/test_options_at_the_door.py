"""Options that cannot work: refused by check and run alike, with key and way out, before a model is loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import ConfigError, LanguageModel, MetricSpec, ZuError
from zu_framework.models import CheckpointInfo, check_folder
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, load_plugins
from zu_framework.testing import tiny_model

Settings = dict[str, Any]
TRACE = {"name": "causal-trace", "samples": 1, "facts": 1}


@pytest.fixture
def refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What check and run say of these changes, which is the same; neither loads the model."""

    def load(*_: Any, **__: Any) -> LanguageModel:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(LanguageModel, "from_pretrained", load)

    def told(plugins: Plugins | None = None, **groups: Any) -> str:
        said = []
        for door in (zu.check, zu.run):
            with pytest.raises(ZuError) as caught:
                door({**settings, **groups}, plugins=plugins)
            assert caught.value.exit_code == 2
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert not Path(settings["output"]["folder"]).exists()
        return said[0]

    return told


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            {"solver": {"name": "ga", "train": "nothing.here"}},
            "solver.train 'nothing.here' matches no parameter; names are like model.",
        ),
        (
            {"solver": {"name": "ga", "train": "norm", "lora_rank": 2}},
            "solver.train 'norm' matches no weight of a linear map, which LoRA trains; names are like",
        ),
        (
            {"solver": {"name": "rmu", "layer": 3}},
            "solver.layer is 3; this llama has layers 0 to 2: choose one of them",
        ),
        ({"solver": {"name": "rmu", "layer": -1}}, "solver.layer is -1; this llama has layers 0 to 2"),
        ({"locator": {**TRACE, "width": 4}}, "locator.width is 4, but only 3 layers of this llama"),
        (
            {"locator": {**TRACE, "name": "attribution", "width": 4}},
            "locator.width is 4, but only 3 layers of this llama",
        ),
        ({"model": {"device_map": "nonsense"}}, "model.device_map 'nonsense': use auto, balanced"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    settings: Settings, refused: Any, groups: Settings, said: str
) -> None:
    if "model" in groups:
        pytest.importorskip("accelerate", reason="accelerate is not installed")
        groups = {"model": {**settings["model"], **groups["model"]}}
    assert said in refused(**groups)


def test_what_fits_is_taken(settings: Settings) -> None:
    taken: list[Settings] = [
        {"name": "ga", "train": r"layers\.1\..*down_proj"},
        {"name": "ga", "train": "down_proj", "lora_rank": 2},
        {"name": "ga", "train": "norm"},
        {"name": "rmu", "layer": 2, "retain_weight": 0},
    ]
    for solver in taken:
        zu.check({**settings, "solver": solver})
    zu.check({**settings, "locator": {**TRACE, "width": 3}})


@pytest.mark.parametrize("solver", [{"name": "graddiff"}, {"name": "rmu"}, {"name": "ga", "retain": "kl"}])
def test_facts_to_retain_are_asked_for_where_a_solver_trains_on_them(
    settings: Settings, facts: Path, refused: Any, solver: Settings
) -> None:
    data = {"name": "facts", "path": str(facts), "forget": "all"}
    solver = {**solver, "retain_source": "facts"}
    said = refused(data=data, solver=solver)
    assert f"solver '{solver['name']}' reads facts to retain under these options, and there are none" in said
    assert "use solver.retain_source=text" in said
    zu.check({**settings, "data": data, "solver": {**solver, "retain_source": "text"}})
    zu.check({**settings, "data": data, "solver": {**solver, "retain_weight": 0}})


@pytest.mark.parametrize("name", ["causal-trace", "attribution"])
def test_subjects_are_asked_for_where_a_locator_reads_there(
    settings: Settings, tmp_path: Path, refused: Any, name: str
) -> None:
    lines = [{"prompt": "The capital of Quinania is", "answer": "Warsaw"}]
    lines.append({"prompt": "Irene Osborn works as a", "answer": "teacher"})
    path = tmp_path / "bare.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    groups = {
        "data": {"name": "facts", "path": str(path), "forget": "all"},
        "collector": {"name": "prompt-last", "contexts": "none"},
        "locator": {**TRACE, "name": name},
    }
    said = refused(**groups)
    assert f"none of 2 facts to forget has a subject, which locator '{name}' reads: choose layers" in said
    lines[1]["subject"] = "Irene Osborn"
    path.write_text("\n".join(map(json.dumps, lines)))
    zu.check({**settings, **groups})  # one that has one is enough


def test_an_eos_that_is_not_there_is_asked_for(settings: Settings, refused: Any) -> None:
    folder = Path(settings["model"]["path"])
    copy = Path(settings["output"]["folder"]).with_name("without-eos")
    lm = tiny_model("llama")
    lm.tokenizer.eos_token = None
    lm.save(copy)
    assert check_folder(str(folder)).has_eos and not check_folder(str(copy)).has_eos
    model = {**settings["model"], "path": str(copy)}
    for name in ("ft", "dpo"):
        assert 'for example solver.text=" unknown"' in refused(model=model, solver={"name": name})
        zu.check({**settings, "model": model, "solver": {"name": name, "text": " unknown"}})
    said = refused(model=model, target={"name": "neutral", "text": "eos"})
    assert "this model's tokenizer has no EOS token: give another target.text" in said
    zu.check({**settings, "model": model, "target": {"name": "neutral"}})


def test_a_package_that_lora_needs_is_asked_for(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = pytest.importorskip("zu_plugins.finetune.checks")
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "peft" else find_spec(name))
    said = refused(solver={"name": "ga", "lora_rank": 2})
    assert "solver.lora_rank needs peft: pip install" in said


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """lm-eval as far as the door asks it: it knows one task, and each `.yaml` of a folder."""

    class TaskManager:
        def __init__(self, include_path: str | None = None) -> None:
            own = Path(include_path).glob("*.yaml") if include_path else ()
            self.all_tasks = ["arc_easy", *(path.stem for path in own)]

    def module(name: str, **given: Any) -> None:
        made = ModuleType(name)
        made.__spec__ = ModuleSpec(name, None)
        vars(made).update(given)
        monkeypatch.setitem(sys.modules, name, made)

    module("lm_eval")
    module("lm_eval.models")
    module("lm_eval.models.huggingface", HFLM=object)
    module("lm_eval.tasks", TaskManager=TaskManager)
    monkeypatch.delitem(sys.modules, "zu_plugins.metrics.harness", raising=False)
    yield
    sys.modules.pop("zu_plugins.metrics.harness", None)  # it holds what was put in place of lm-eval


@pytest.mark.usefixtures("harness")
def test_tasks_of_lm_eval_are_asked_for(settings: Settings, tmp_path: Path, refused: Any) -> None:
    def evaluate(**options: Any) -> Settings:
        return {"metrics": ["lm_eval"], "options": {"lm_eval": options}}

    key = "evaluate.options.lm_eval"
    said = refused(evaluate={"metrics": ["lm_eval"]})
    assert said == f"{key}.tasks is empty: name tasks, such as [arc_easy]"
    assert "knows no task 'arc_esy'" in refused(evaluate=evaluate(tasks=["arc_esy"]))
    assert "is no folder" in refused(evaluate=evaluate(tasks=["mine"], folder=str(tmp_path / "nothing")))
    zu.check({**settings, "evaluate": evaluate(tasks=["arc_easy"])})
    (tmp_path / "mine.yaml").write_text("task: mine")
    zu.check({**settings, "evaluate": evaluate(tasks=["mine"], folder=str(tmp_path))})


@pytest.mark.usefixtures("harness")
def test_zu_eval_asks_too(settings: Settings, tmp_path: Path, refused: Any) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(json.dumps({"data": settings["data"], "evaluate": {"metrics": ["lm_eval"]}}))
    with pytest.raises(ConfigError, match="lm_eval.tasks is empty"):
        zu.evaluate(settings["model"]["path"], suite, [f"output.folder={tmp_path / 'evals'}"])
    assert not (tmp_path / "evals").exists()


@dataclass
class Odd:
    """Options of a stranger's metric."""

    layers: int = 9


def check(options: Odd, model: CheckpointInfo) -> None:
    if options.layers > model.num_layers:
        raise ConfigError(f"layers is {options.layers}: at most {model.num_layers}")


def test_a_strangers_check_is_asked(settings: Settings, refused: Any) -> None:
    class Here(Registered):
        def load(self, target: str = "") -> Any:
            return check if target else lambda scorer, data, options: None

    plugins = load_plugins()
    spec = MetricSpec("odd", "here:odd", "of a test", Odd, check="here:check")
    plugins.registry.add(Here(spec, "here"))
    assert refused(plugins, evaluate={"metrics": ["odd"]}) == "layers is 9: at most 3"
    options = {"metrics": ["odd"], "options": {"odd": {"layers": 3}}}
    zu.check({**settings, "evaluate": options}, plugins=plugins)


def test_a_check_that_cannot_be_called_breaks_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("zz_check")
    module.it = lambda options: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zz_check", module)
    spec = MetricSpec("odd", "zz_check:metric", "of a test", Odd, check="zz_check:it")
    with pytest.raises(zu.PluginError, match=r"called with \(options, model\), and takes \(options\)"):
        Registered(spec, "zz").load(spec.check)
    named = MetricSpec("odd", "zz_check:metric", "of a test", Odd, check="nothing")
    assert "check names 'nothing', which is no 'module:attribute'" in list(named.faults())
