"""Run folders appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zu_framework import RunFolderError
from zu_framework.config import load_config
from zu_framework.files import write_json
from zu_framework.store.run_folder import run_folder


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}/runs", "output.name=one"])
    with run_folder(config) as (partial, final):
        (partial / "file").write_text("x")
        assert not final.exists()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["one"]
    assert (final / "file").read_text() == "x"


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    with pytest.raises(KeyboardInterrupt), run_folder(config) as (partial, _):
        (partial / "file").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_never_touched(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    (tmp_path / "one").mkdir()
    with pytest.raises(RunFolderError, match=r"exists: choose another output\.name"), run_folder(config):
        pass
    assert list((tmp_path / "one").iterdir()) == []


def test_two_unnamed_runs_in_one_second_get_two_folders(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}"])
    for _ in range(2):
        with run_folder(config):
            pass
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", f"output.name='{name}'"])
    with pytest.raises(RunFolderError, match=r"output\.name"), run_folder(config):
        pass


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = load_config("zerounlearn", [f"output.folder={tmp_path}/file"])
    with pytest.raises(RunFolderError, match=r"cannot be written.*output\.folder="), run_folder(config):
        pass


def test_a_killed_run_leaves_no_run_folder_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom zu_framework.config import load_config\n"
        "from zu_framework.store.run_folder import run_folder\n"
        f"config = load_config('zerounlearn', ['output.folder={tmp_path}', 'output.name=one'])\n"
        "with run_folder(config) as (partial, _):\n"
        "    (partial / 'file').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert not (tmp_path / "one").exists()
    with run_folder(load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=two"])):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["two"]


def test_undefined_numbers_are_never_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"perplexity": float("nan")})
