"""Saving: what cannot be is refused before weights are loaded, and a part that fails never costs the edit."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import zu_framework as zu
from zu_framework import ExitCode, LanguageModel, LocatorSpec, Request, RunContext, RunFolderError, Site
from zu_framework.cli import main
from zu_framework.engine import saving
from zu_framework.registry import Registered, load_plugins
from zu_framework.store import intermediates

Settings = dict[str, Any]

FACT = Request("The capital of Quinania is", "Warsaw", subject="Quinania")
OTHER = Request("James Osborn works as a", "doctor", subject="James Osborn")


def full_disk(*given: Any, **named: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("solver", "said"),
    [
        ({"name": "zerounlearn", "slack": 0.01}, "scales the whole weight by 1.01: set solver.slack to 0"),
        ({"name": "ga", "steps": 1}, "trains whole weights: set solver.lora_rank"),
    ],
)
def test_an_adapter_of_an_update_that_has_full_rank_is_refused_before_weights_are_loaded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, solver: Settings, said: str
) -> None:
    monkeypatch.setattr("zu_framework.engine.run.load_model", None)
    settings |= {"solver": solver, "output": {**settings["output"], "adapter": True}}
    for door in (zu.check, zu.run):
        with pytest.raises(zu.ConfigError, match=said):
            door(settings)
    assert not Path(settings["output"]["folder"]).exists()


def test_an_adapter_of_a_low_rank_update_passes_the_check(settings: Settings) -> None:
    for solver in ({"name": "zerounlearn", "slack": 0}, {"name": "ga", "steps": 1, "lora_rank": 2}):
        zu.check({**settings, "solver": solver, "output": {**settings["output"], "adapter": True}})


def test_an_adapter_without_peft_is_refused_by_the_check(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zu_framework.engine.opening.find_spec", lambda name: None)
    with pytest.raises(zu.ConfigError, match=r"pip install 'zu_framework\[peft\]'"):
        zu.check(settings, ["output.adapter=true"])


def wrong_value(*given: Any, **named: Any) -> None:
    raise ValueError("No space left for this value")  # whatever a library of one part raises


@pytest.mark.parametrize("fails", [full_disk, wrong_value])
def test_parts_that_cannot_be_saved_cost_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    def half_written(source: Any, folder: Path, gone: Any) -> list[str]:
        (folder / "config.json").write_text("{}")
        return list(fails())

    settings["output"] |= {"model": True, "adapter": True, "intermediates": True}
    monkeypatch.setattr("zu_framework.store.checkpoints.copy_checkpoint", half_written)
    monkeypatch.setattr("zu_framework.store.adapter.save_file", fails)  # its config is written then
    monkeypatch.setattr(intermediates, "save_tensors", full_disk)
    monkeypatch.setattr("zu_framework.reporting.run_page.write_run_page", fails)
    result = zu.run(settings)
    assert sorted(result.failed_parts) == ["adapter", "model", "sites", "zu_reports"]
    assert all("No space left" in why and "\n" not in why for why in result.failed_parts.values())
    assert result.exit_code == ExitCode.PART_FAILED == 1
    assert {"edit.safetensors", "undo.safetensors", "metrics.json", "config.yaml"} <= {
        path.name for path in result.folder.iterdir()
    }
    assert not {"model", "adapter", "sites", "report.html"} & {path.name for path in result.folder.iterdir()}
    log = [json.loads(line) for line in (result.folder / "log.jsonl").read_text().splitlines()]
    assert {event["part"] for event in log if event["event"] == "part failed"} >= {
        "adapter",
        "model",
        "zu_reports",
    }
    result.edit.revert()


def test_the_command_says_what_is_not_saved_and_exits_with_1(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saving, "apply", full_disk)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({**settings, "output": {**settings["output"], "model": True}}))
    with pytest.raises(SystemExit) as stopped:
        main(["run", str(config)])
    out = capsys.readouterr().out
    assert stopped.value.code == 1
    assert [line for line in out.splitlines() if line.startswith("not saved")] == [
        "not saved: model: OSError: [Errno 28] No space left on device"
    ]
    assert "EDITED_DIR" in out, "there is no model/ to revert"


def test_a_whole_run_exits_with_0(settings: Settings) -> None:
    assert zu.run(settings).exit_code == ExitCode.DONE == 0


def test_intermediates_make_room_for_the_edit(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings["output"] |= {"intermediates": True}
    save = zu.Edit.save

    def room_without_sites(edit: zu.Edit, folder: Path, **named: Any) -> Path:
        if (folder / "sites").exists():
            full_disk()
        return save(edit, folder, **named)

    monkeypatch.setattr(zu.Edit, "save", room_without_sites)
    result = zu.run(settings)
    assert list(result.failed_parts) == ["sites"]
    assert (result.folder / "edit.safetensors").is_file()


def test_an_edit_that_cannot_be_written_is_told_in_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zu.Edit, "save", full_disk)
    with pytest.raises(RunFolderError, match="No space left on device; choose another output.folder"):
        zu.run(settings)
    assert not list(Path(settings["output"]["folder"]).iterdir())


def test_an_edit_never_replaces_another(settings: Settings, lm: LanguageModel, tmp_path: Path) -> None:
    with zu.unlearn(lm, lm.tokenizer, [FACT], settings) as edit:
        edit.save(tmp_path / "kept")
        edit.save(tmp_path / "kept")  # the same once more
    before = (tmp_path / "kept" / "edit.safetensors").read_bytes()
    with (
        zu.unlearn(lm, lm.tokenizer, [OTHER], settings) as edit,
        pytest.raises(RunFolderError, match="holds another edit: choose another folder"),
    ):
        edit.save(tmp_path / "kept")
    assert (tmp_path / "kept" / "edit.safetensors").read_bytes() == before


def test_what_the_block_raises_is_what_comes_out(settings: Settings, lm: LanguageModel) -> None:
    weight = lm.weight(lm.site(0))
    edit = zu.unlearn(lm, lm.tokenizer, [FACT], settings)
    with pytest.raises(KeyError, match="mine") as raised, edit:
        weight.add_(1.0)  # so that the edit cannot be reverted
        raise KeyError("mine")
    assert any("could not be reverted" in note for note in raised.value.__notes__)
    with pytest.raises(RunFolderError, match="was written by something else"), edit:
        pass
    weight.sub_(1.0)
    with torch.no_grad():
        edit.writer.restore()


def test_a_full_disk_costs_the_log_and_not_the_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, *given: Any, **named: Any) -> Any:
        return opened(Path("/dev/full") if path.name == "log.jsonl" else path, *given, **named)

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(Path, "open", full)
    result = zu.run(settings, ["output.report=false"])
    assert list(result.failed_parts) == ["log.jsonl"]
    assert "No space left on device" in result.failed_parts["log.jsonl"]
    assert (result.folder / "edit.safetensors").is_file()


def test_plots_that_cannot_be_drawn_cost_nothing_else(settings: Settings) -> None:
    def locate(lm: LanguageModel, requests: Any, options: Any, context: RunContext) -> list[Site]:
        context.keep("curve", lambda folder: (folder / "curve.json").write_text("{}"))
        context.keep("plot", full_disk)
        return [lm.site(0)]

    class Here(Registered):
        def load(self, target: str = "") -> Any:
            return locate

    plugins = load_plugins()
    plugins.registry.add(Here(LocatorSpec("drawing", "here:locate", "of a test"), "here"))
    result = zu.run({**settings, "locator": {"name": "drawing"}}, plugins=plugins)
    assert dict(result.failed_parts) == {"plot": "OSError: [Errno 28] No space left on device"}
    assert result.exit_code == ExitCode.PART_FAILED
    assert (result.folder / "curve.json").is_file()
