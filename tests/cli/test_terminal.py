"""What is printed: control characters are shown and never sent, commands can be pasted, any encoding will do."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table

from tests.commands import zu
from zu_framework.cli.console import Terminal
from zu_framework.cli.progress import progress
from zu_framework.cli.terminal import command, say
from zu_framework.printable import printable

HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\u202e[red]x[/red]\x9b1m\r"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(st.text())
def test_no_text_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not STEERING.search(shown)
    shown.encode("utf-8")
    assert len(shown) >= len(text)


class FullDisk(io.StringIO):
    """A log that takes nothing more."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())
    with progress() as report:
        report("load", 0, 0)
    say("note: nobody reads this")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirection")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "2>&-", "<&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_defect(closed: str) -> None:
    asked = f"{shlex.quote(sys.executable)} -m zu_framework plugins --json {closed}"
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def test_plain_text_is_left_as_it_is() -> None:
    for text in ("a\tb\nc", "é", "中文", "שלום", "🙂", "a\\x1b"):
        assert printable(text) == text


@given(st.text())
def test_a_console_shows_what_data_say_and_sends_none_of_it(text: str) -> None:
    file = io.StringIO()
    console = Terminal(file=file, width=100, force_terminal=True, color_system=None)
    table = Table(title=escape(text))
    table.add_column(escape(text))
    table.add_row(escape(text))
    console.print(table)
    console.print(f"[bold]{escape(text)}[/bold]")
    assert not STEERING.search(re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).replace("\n", ""))


DOORS = [
    ["run", f"{HOSTILE}.yaml"],
    ["run", HOSTILE],
    ["run", "demo", f"{HOSTILE}=1"],
    ["run", "demo", f"solver.name={HOSTILE}"],
    ["check", "demo", f"model.path={HOSTILE}"],
    [HOSTILE],
    ["plugins", f"--{HOSTILE}"],
    ["revert", HOSTILE, "m", "o"],
    ["apply", HOSTILE, HOSTILE, HOSTILE],
    ["eval", "zu:demo", "--suite", HOSTILE],
    ["bench", HOSTILE],
    ["report", HOSTILE],
]


@pytest.mark.parametrize("arguments", DOORS, ids=lambda arguments: arguments[0][:6])
def test_an_error_shows_what_was_given(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = zu(capsys, *arguments)
    assert code == 2 and "Traceback" not in err
    assert not STEERING.search(out + err)
    assert "x1b]52;c;" in err


@pytest.mark.parametrize(
    "line",
    [
        {HOSTILE: 1},
        {"prompt": "The capital of Quinania is", "subject": HOSTILE, "answer": "Oslo"},
        {"prompt": HOSTILE, "answer": "Oslo", "answr": 1},
    ],
)
def test_a_data_file_cannot_write_to_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: dict[str, object]
) -> None:
    data = tmp_path / "facts.jsonl"
    data.write_text(json.dumps(line))
    code, out, err = zu(capsys, "check", "demo", "data.name=jsonl", f"data.path={data}", "data.forget=1")
    assert code == 2 and "Traceback" not in err
    assert not STEERING.search(out + err)


def test_a_model_config_cannot_write_to_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"model_type": HOSTILE}))
    code, out, err = zu(capsys, "check", "demo", f"model.path={folder}")
    assert code == 2 and "Traceback" not in err and not STEERING.search(out + err)


def test_printed_commands_are_quoted_for_the_shell() -> None:
    words = ["zu", "apply", "runs/a b", "it's; rm -rf ~", "$(x)"]
    assert shlex.split(command(*words)) == words


@pytest.mark.parametrize("arguments", [["plugins"], ["check", "demo"]])
def test_an_encoding_that_lacks_characters_prints_replacements(arguments: list[str], tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    fact = {"prompt": "中国的首都是", "subject": "中国", "answer": "北京"}
    facts.write_text(json.dumps(fact, ensure_ascii=False), encoding="utf-8")
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"base: demo\nname: 中文\ndata: {{name: jsonl, path: {facts}, forget: 1}}\n", encoding="utf-8"
    )
    arguments = [str(mine) if word == "demo" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "zu_framework", *arguments], capture_output=True, env=env, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"Error" not in done.stderr
    assert (b"ok: ??" in done.stdout) is ("check" in arguments)
    done = subprocess.run(
        [sys.executable, "-m", "zu_framework", "run", "中文"], capture_output=True, env=env, timeout=100
    )
    assert done.returncode == 2 and done.stderr.startswith(b"error: unknown config")


@pytest.mark.parametrize("arguments", [["plugins"], ["plugins", "--json"], ["--help"]])
def test_a_reader_that_went_away_is_no_error(arguments: list[str]) -> None:
    unread, ours = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "zu_framework", *arguments]
    done = subprocess.run(command, stdout=ours, stderr=subprocess.PIPE, text=True, timeout=100)
    os.close(ours)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_list_of_plugins_is_json_whatever_a_plugin_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = zu(capsys, "plugins", "--json")
    assert code == 0 and json.loads(out)["components"] and out.isascii()
