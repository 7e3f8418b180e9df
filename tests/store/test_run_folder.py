"""Run folders appear whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from zu_framework import RunFolderError
from zu_framework.config import load_config
from zu_framework.files import held_partial, sweep, whole_folder, write_json
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


def worker(tmp_path: Path, *overrides: str) -> subprocess.Popen[str]:
    """Another process at work on a run; it ends once it reads a line."""
    code = (
        "import sys\nfrom zu_framework.config import load_config\n"
        "from zu_framework.store.run_folder import run_folder\n"
        f"config = load_config('zerounlearn', ['output.folder={tmp_path}', *sys.argv[1:]])\n"
        "with run_folder(config) as place:\n"
        "    (place.partial / 'file').write_text('x'); print(place.final.name, flush=True); sys.stdin.readline()\n"
        "print(place.final.name, flush=True)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *overrides], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    found = told(process)
    assert process.wait(timeout=60) == 0
    return found


def test_a_killed_run_leaves_no_run_folder_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    process = worker(tmp_path, "output.name=one")
    assert told(process) == "one"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert not (tmp_path / "one").exists()
    with run_folder(load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=two"])):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["two"]


def test_a_run_that_is_at_work_is_left_alone_whatever_its_process_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = worker(tmp_path, "output.name=one")
    assert told(process) == "one"
    # as from another host
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError()))
    for name in ("two", "three"):
        with run_folder(load_config("zerounlearn", [f"output.folder={tmp_path}", f"output.name={name}"])):
            pass
    assert ended(process) == "one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "three", "two"]
    assert (tmp_path / "one" / "file").read_text() == "x"


def test_a_name_is_taken_from_the_start_of_a_run(tmp_path: Path) -> None:
    process = worker(tmp_path, "output.name=one")
    assert told(process) == "one"
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    with pytest.raises(RunFolderError, match="is being written by another run: choose"), run_folder(config):
        pass
    assert ended(process) == "one"


def test_four_unnamed_runs_in_one_second_all_keep_their_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    config = load_config("zerounlearn", [f"output.folder={tmp_path}"])
    with run_folder(config) as a, run_folder(config) as b, run_folder(config) as c, run_folder(config) as d:
        for number, place in enumerate((a, b, c, d)):
            (place.partial / "number").write_text(str(number))
    names = [f"zerounlearn-20260101-000000{end}" for end in ("", "-2", "-3", "-4")]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert [(tmp_path / name / "number").read_text() for name in names] == ["0", "1", "2", "3"]
    assert not any(place.note for place in (a, b, c, d))


@pytest.mark.parametrize("what", ["folder", "file", "dangling link", "link to a folder"])
def test_what_appears_under_the_name_is_kept_and_so_is_the_run(tmp_path: Path, what: str) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    config = load_config("zerounlearn", [f"output.folder={runs}", "output.name=one"])
    with run_folder(config) as place:
        (place.partial / "file").write_text("mine")
        taken = runs / "one"
        if what == "folder":
            taken.mkdir()
            (taken / "file").write_text("theirs")
        elif what == "file":
            taken.write_text("theirs")
        else:
            if what == "link to a folder":
                elsewhere.mkdir()
            taken.symlink_to(elsewhere)
    assert place.final == runs / "one-2"
    assert place.note == f"{runs / 'one'} appeared while this run was at work: it is kept as {runs / 'one-2'}"
    assert (place.final / "file").read_text() == "mine"
    if "link" in what:
        assert taken.readlink() == elsewhere
    else:
        assert (taken / "file" if what == "folder" else taken).read_text() == "theirs"


def test_a_dangling_link_under_the_name_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "nowhere")
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    with pytest.raises(RunFolderError, match="exists: choose another output.name"), run_folder(config):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_a_run_is_private_whatever_the_umask_and_what_is_published_follows_it(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    before = os.umask(0)
    try:
        with run_folder(config) as place:
            (place.partial / "file").write_text("x")
            for folder in ("sites", "model"):
                (place.partial / folder).mkdir()
                (place.partial / folder / "file").write_text("x")
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path)): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    assert modes == {
        "one": 0o700,
        "one/file": 0o600,
        "one/sites": 0o700,
        "one/sites/file": 0o600,
        "one/model": 0o777,
        "one/model/file": 0o666,
    }


def test_where_nothing_can_be_locked_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".one.zu-partial"
    left.mkdir()
    (left / "lock").touch()

    def refuse(self: object, *args: object, **more: object) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    sweep(tmp_path)
    assert left.exists()
    monkeypatch.undo()
    sweep(tmp_path)
    assert not left.exists()


def test_what_was_killed_before_it_had_its_lock_goes_and_its_name_is_free(tmp_path: Path) -> None:
    left = tmp_path / ".one.zu-partial"
    left.mkdir()
    sweep(tmp_path)
    assert not left.exists()
    left.mkdir()
    with whole_folder(tmp_path / "one") as partial:
        (partial / "file").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_maker_whose_folder_a_sweeper_takes_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = FileLock.acquire
    taken: list[FileLock] = []

    def swept_before(self: FileLock, *args: Any, **more: Any) -> object:
        if not taken:
            taken.append(self)
            sweep(tmp_path)
        return acquire(self, *args, **more)

    monkeypatch.setattr("filelock.FileLock.acquire", swept_before)
    with whole_folder(tmp_path / "one", private=True) as partial:
        assert stat.S_IMODE(partial.parent.stat().st_mode) == 0o700
        sweep(tmp_path)
        (partial / "file").write_text("x")
    assert taken and [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_name_that_a_sweeper_holds_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    held = held_partial(tmp_path, "one")
    assert held is not None and held_partial(tmp_path, "one", patience=0) is None
    freed = threading.Timer(0.05, held.remove)
    freed.start()
    with whole_folder(tmp_path / "one") as partial:
        (partial / "file").write_text("x")
    freed.join()
    assert (tmp_path / "one" / "file").is_file()


def test_ctrl_c_and_a_full_disk_leave_nothing(tmp_path: Path) -> None:
    config = load_config("zerounlearn", [f"output.folder={tmp_path}", "output.name=one"])
    with (
        pytest.raises(RunFolderError, match=r"cannot be written: No space left .*; free some space"),
        run_folder(config),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_undefined_numbers_are_never_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"perplexity": float("nan")})


@pytest.mark.parametrize("name", ["my config", "a/b", "\x1b[2J", "..", "中文 1"])
def test_a_config_of_any_name_has_a_run_folder(tmp_path: Path, name: str) -> None:
    config = load_config({"base": "zerounlearn", "name": name, "output": {"folder": str(tmp_path)}})
    with run_folder(config) as (_, final):
        assert final.parent == tmp_path and final.name[0].isalnum() and "/" not in final.name
