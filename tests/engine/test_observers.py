"""Observers: whatever one raises is told in one line, and costs the run nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import ExitCode, LanguageModel, Request, hookimpl
from zu_framework.registry.manager import Plugins, load_plugins

Settings = dict[str, Any]

FACT = Request("The capital of Quinania is", "Warsaw", subject="Quinania")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


def watched_by(name: str, plugin: Any) -> Plugins:
    plugins = load_plugins()
    plugins.manager.register(plugin, name=name)
    return plugins


def events(result: zu.RunResult, name: str) -> list[dict[str, Any]]:
    lines = (result.folder / "log.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


class Broken:
    """Raises at one hook."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @hookimpl
    def zu_site_solved(self, site: Any) -> None:
        raise self.error

    @hookimpl
    def zu_run_finished(self, result: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("two\nlines"), SystemExit(3), Mute()], ids=lambda e: type(e).__name__
)
def test_a_broken_hook_leaves_a_finished_run(settings: Settings, error: BaseException) -> None:
    result = zu.run(settings, plugins=watched_by("stranger", Broken(error)))
    assert result.exit_code == ExitCode.DONE
    assert len(result.edit.sites) == 2 and not result.edit.reverted
    told = [note for note in result.notes if "'stranger'" in note]
    assert [("zu_site_solved" in note, "zu_run_finished" in note) for note in told] == [
        (True, False),
        (False, True),
    ]
    assert all("\n" not in note for note in told)
    assert [event["moment"] for event in events(result, "observer failed")] == [
        "zu_site_solved",
        "zu_run_finished",
    ]


def test_ctrl_c_in_a_hook_is_ctrl_c(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt):
        zu.run(settings, plugins=watched_by("stranger", Broken(KeyboardInterrupt())))
    assert not list(Path(settings["output"]["folder"]).iterdir())


def test_a_broken_hook_leaves_an_edit_in_memory(settings: Settings, lm: LanguageModel) -> None:
    plugins = watched_by("stranger", Broken(RuntimeError("x")))
    with zu.unlearn(lm, lm.tokenizer, [FACT], settings, plugins=plugins) as edit:
        assert len(edit.sites) == 2


def test_hooks_see_what_an_edit_in_memory_solves(settings: Settings, lm: LanguageModel) -> None:
    seen: list[str] = []

    class Watcher:
        @hookimpl
        def zu_site_solved(self, site: Any, problem: Any, update: Any) -> None:
            assert update.shape == tuple(problem.weight.shape)
            seen.append(site.name)

    with zu.unlearn(lm, lm.tokenizer, [FACT], settings, plugins=watched_by("watcher", Watcher())) as edit:
        assert seen == [site.site.name for site in edit.sites]


class Recorder:
    """An observer that notes what it is shown, and raises where it is told to."""

    def __init__(self, fails: Sequence[str]) -> None:
        self.fails, self.calls = fails, list[str]()

    def note(self, moment: str) -> None:
        self.calls.append(moment)
        if moment in self.fails:
            raise RuntimeError(f"{moment} is out of order")

    def before(self, scorer: Any, data: Any, sites: Any) -> None:
        assert len(sites) == 2 and data.forget
        self.note("before")

    def after(self, scorer: Any, edit: Any) -> None:
        assert edit.sites
        self.note("after")

    def saved(self, folder: Path, final: Path) -> None:
        assert (folder / "metrics.json").is_file() and not final.exists()
        (folder / "mine.txt").write_text("kept")
        self.note("saved")


@pytest.mark.parametrize("fails", [(), ("before",), ("after",), ("saved",), ("begin",)])
def test_an_observer_sees_a_run(settings: Settings, fails: Sequence[str]) -> None:
    recorder = Recorder(fails)

    def begin(config: Any) -> Recorder:
        assert config.output.name == "one"
        if "begin" in fails:
            raise RuntimeError("begin is out of order")
        return recorder

    plugin = ModuleType("recorder")
    plugin.zu_observe_run = hookimpl(begin)  # type: ignore[attr-defined]
    result = zu.run(settings, plugins=watched_by("recorder", plugin))
    assert recorder.calls == ([] if "begin" in fails else ["before", "after", "saved"])
    assert (result.folder / "mine.txt").exists() is ("begin" not in fails)
    assert (result.folder / "report.html").is_file()
    failed = [note for note in result.notes if "is out of order" in note]
    assert len(failed) == (1 if set(fails) & {"before", "after", "begin"} else 0)
    # what it adds to the folder is a part of the run: that it could not counts
    assert dict(result.failed_parts) == (
        {"recorder": "RuntimeError: saved is out of order"} if fails == ("saved",) else {}
    )
