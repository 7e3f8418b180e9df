"""Every benchmark is a command with a help text, and the quick ones run at toy sizes."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import pytest

import tests.benchmarks
from tests.benchmarks.__main__ import PHASES

SITE = "--outputs 24 --inputs 48 --requests 3 --null 8 --threads 1"
MODEL = "--hidden 16 --inner 32 --layers 4 --heads 4 --documents 4 --threads 1"
FACTS = "--size small --facts 2 --reference 2 --threads 1"
COMMANDS = sorted(
    {*PHASES, "locating", "many_facts", "sequential", "frontier.__main__", "__main__"}
    | {
        found.name
        for found in pkgutil.iter_modules(tests.benchmarks.__path__)
        if not found.name.startswith("test_")
        and hasattr(importlib.import_module(f"tests.benchmarks.{found.name}"), "main")
    }
)


def run(command: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    importlib.import_module(f"tests.benchmarks.{command}").main()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(command, ["--help"], monkeypatch)
    assert ended.value.code == 0
    assert f"python -m tests.benchmarks.{command}".removesuffix(".__main__") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments", "rows"),
    [
        ("solvers", f"{SITE} --many 2,60", ["`zerounlearn`, factor given", "| 60 |"]),
        ("editors", SITE, ["`memit`, factor given", "`alphaedit`, null space given"]),
        ("background", f"{MODEL} --repeats 1", ["value moment, one site", "key moments, three sites"]),
        pytest.param("targets", FACTS, ["| ratio |", "fraction of the former"], marks=pytest.mark.slow),
    ],
)
def test_a_phase_prints_its_table(
    command: str,
    arguments: str,
    rows: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(command, arguments.split(), monkeypatch)
    printed = capsys.readouterr().out
    assert all(row in printed for row in rows), printed
