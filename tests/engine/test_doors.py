"""What the doors say before anything happens, and that a model in memory comes back as it was lent."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from tests.store.edits import rewrite, stored
from zu_framework import (
    BackgroundSpec,
    ConfigError,
    DataError,
    GuardError,
    LanguageModel,
    ModelError,
    Request,
)
from zu_framework.engine.guard import Guard
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, load_plugins

Settings = dict[str, Any]

FACT = Request("The capital of Quinania is", "Warsaw", subject="Quinania")
WITHOUT_SUBJECT = Request("James Osborn works as a", "doctor")


def state(lm: LanguageModel) -> tuple[str, list[bool]]:
    return lm.fingerprint(), [module.training for module in lm.model.modules()]


@pytest.mark.parametrize("fails", [False, True])
def test_training_mode_is_given_back(settings: Settings, lm: LanguageModel, fails: bool) -> None:
    lm.model.train()
    list(lm.model.modules())[-1].eval()  # a module of its own mode
    before = state(lm)
    if fails:
        with pytest.raises(ConfigError):
            zu.unlearn(
                lm.model, lm.tokenizer, [FACT], {**settings, "locator": {"name": "fixed", "layers": [99]}}
            )
    else:
        edit = zu.unlearn(lm.model, lm.tokenizer, [FACT], settings)
        assert state(lm)[1] == before[1]
        edit.revert()
    assert state(lm) == before


def test_the_default_call_needs_nothing_but_model_and_facts(lm: LanguageModel) -> None:
    before = state(lm)
    edit = zu.unlearn(lm.model, lm.tokenizer, [FACT])
    assert edit.sites and state(lm) != before
    edit.revert()
    assert state(lm) == before


def test_facts_to_retain_are_met_at_the_door(settings: Settings, facts: Path) -> None:
    retain = facts.with_name("retain.jsonl")
    retain.write_text('{"prompt": "Nobody works as a", "answer": "doctor"}\n')
    data = {**settings["data"], "retain_path": str(retain)}
    solver = {**settings["solver"], "retain_weight": 10}
    for door in (zu.check, zu.run):
        with pytest.raises(
            DataError, match=r"retain.jsonl, line 1: no subject, which collector 'subject-last' reads"
        ):
            door({**settings, "data": data, "solver": solver})
    zu.check({**settings, "data": data})  # where no solver reads them, they need none


def test_facts_to_retain_in_memory_are_met_at_the_door(settings: Settings, lm: LanguageModel) -> None:
    solver = {**settings["solver"], "retain_weight": 10}
    with pytest.raises(DataError, match="no subject"):
        zu.unlearn(lm, None, [FACT], {**settings, "solver": solver}, retain=[WITHOUT_SUBJECT])


@pytest.mark.parametrize(
    ("locator", "said"),
    [
        ({"name": "preset"}, "locator 'preset' knows no layers for this llama"),
        ({"name": "fixed", "layers": []}, "locator.layers is empty"),
        ({"name": "fixed", "layers": [0, 3]}, "layer 3; this llama has layers 0 to 2"),
        ({"name": "fixed", "layers": [-1]}, "layer -1; this llama has layers 0 to 2"),
    ],
)
def test_the_check_asks_the_locator(settings: Settings, locator: Settings, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        zu.check({**settings, "locator": locator})
    assert said in str(refused.value)


def test_a_fixed_target_of_zero_reads_no_general_text(settings: Settings, lm: LanguageModel) -> None:
    settings |= {"solver": {"name": "leace"}, "target": {"name": "fixed", "value": "zero"}}
    settings["solver"] = {"name": "leace", "projection": "orthogonal"}
    del settings["background"]
    settings["evaluate"] = {"metrics": ["efficacy"]}
    zu.check(settings)
    notes = zu.check(settings).notes
    assert not any("no general text was given" in note for note in notes)
    notes = zu.check({**settings, "target": {"name": "fixed", "value": "mean"}}).notes
    assert any("no general text was given" in note for note in notes)
    with zu.unlearn(lm, None, [FACT], settings) as edit:
        assert edit.sites


def test_text_that_serves_by_default_is_read_where_no_background_is_named(
    settings: Settings, lm: LanguageModel
) -> None:
    del settings["background"]
    with zu.unlearn(lm, None, [FACT], {**settings, "target": {"name": "fixed", "value": "mean"}}) as edit:
        assert edit.sites


def test_a_source_that_is_given_and_cannot_be_read_is_not_passed_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    settings["background"] = {"name": "text", "dataset": "wikitext"}
    with pytest.raises(ConfigError, match="background.dataset needs the package datasets"):
        zu.check(settings)


def test_a_weight_that_is_nan_is_refused_by_the_check_or_by_the_load(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = Path(shutil.copytree(settings["model"]["path"], tmp_path / "spoilt"))
    tensors = stored(spoilt)
    name = next(name for name in sorted(tensors) if name.endswith("down_proj.weight"))
    tensors[name][0, 0] = float("nan")
    rewrite(spoilt, tensors)
    settings["model"] = {**settings["model"], "path": str(spoilt)}
    with pytest.raises(ModelError, match=f"model.safetensors: weight '{name}' holds NaN"):
        zu.check(settings)
    monkeypatch.setattr("zu_framework.engine.check.READ_AT_MOST", 0)  # as of a checkpoint that is too large
    assert any("read for NaN when they are loaded" in note for note in zu.check(settings).notes)
    with pytest.raises(ModelError, match=f"weight '{name}' holds NaN"):
        zu.run(settings)


@dataclass
class Bare:
    """Options of a background that has nothing but what its contract says."""


def five_documents(options: Bare) -> Iterator[str]:
    return iter(["The old bridge was closed because the school is small."] * 5)


def with_background() -> Plugins:
    plugins = load_plugins()

    class Here(Registered):
        def load(self, target: str = "") -> Any:
            return five_documents

    plugins.registry.add(Here(BackgroundSpec("bare", "here:documents", "of a test", Bare), "here"))
    return plugins


def test_a_background_needs_nothing_that_its_contract_does_not_say(
    settings: Settings, lm: LanguageModel
) -> None:
    plugins = with_background()
    with zu.unlearn(lm, None, [FACT], {**settings, "background": {"name": "bare"}}, plugins=plugins) as edit:
        assert edit.sites
    short = {"name": "bare", "max_tokens": 3}
    with zu.unlearn(lm, None, [FACT], {**settings, "background": short}, plugins=plugins) as other:
        assert other.about["fingerprint_after"] != edit.about["fingerprint_after"]
    with pytest.raises(ConfigError, match="background.max_tokens is the number of tokens"):
        zu.check({**settings, "background": {**settings["background"], "max_tokens": 0}})


@pytest.mark.parametrize("name", ["a/b", "taken"])
def test_the_check_looks_where_the_run_would_write(settings: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").mkdir()
    zu.check(settings, [f"output.folder={tmp_path}", "output.name=free"])
    with pytest.raises(zu.RunFolderError, match=name):
        zu.check(settings, [f"output.folder={tmp_path}", f"output.name={name}"])


def test_the_check_looks_at_the_revision_that_the_run_loads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_framework.store import chosen_model

    seen: list[Any] = []
    check_folder = chosen_model.check_folder

    def watched(path: str, **named: Any) -> Any:
        seen.append(named.get("revision"))
        return check_folder(path, **named)

    monkeypatch.setattr(chosen_model, "check_folder", watched)
    zu.check(settings, ["model.revision=v2"])
    assert seen == ["v2"]


def test_the_package_runs_where_there_is_no_resource_module() -> None:
    code = (
        "import sys, torch, transformers.modeling_utils\n"
        "sys.modules['resource'] = None\n"  # as on Windows
        "import zu_framework as zu\n"
        "zu.run, zu.unlearn, zu.check\n"
        "from zu_framework.store.journal import peak_memory_bytes\n"
        "assert peak_memory_bytes() == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sites that the guard is asked about; it stops the second write."""
    found: list[str] = []

    def check(guard: Guard, site: Any, update: Any, background: Any) -> dict[str, Any]:
        found.append(site.name)
        if len(found) == 2:
            raise GuardError(f"site {site.name!r}: too much")
        return {"damage": 0.1}

    monkeypatch.setattr(Guard, "check", check)
    return found


@pytest.mark.parametrize("solver", [{}, {"name": "ga", "train": "all", "steps": 1}], ids=["site", "model"])
def test_what_the_guard_stops_is_rolled_back_to_the_bit(
    settings: Settings, lm: LanguageModel, asked: list[str], solver: Settings
) -> None:
    before = state(lm)
    with pytest.raises(GuardError, match="too much") as stopped:
        zu.unlearn(lm, None, [FACT], {**settings, "solver": solver or settings["solver"]})
    assert stopped.value.exit_code == 3
    assert len(asked) == 2
    assert state(lm) == before


def test_what_the_guard_predicts_is_reported(settings: Settings, lm: LanguageModel, asked: list[str]) -> None:
    one = {**settings, "locator": {"name": "fixed", "layers": [0]}}
    with zu.unlearn(lm, None, [FACT], one) as edit:
        ((step,),) = edit.report["sites"].values()
        assert step["guard"] == {"damage": 0.1}
