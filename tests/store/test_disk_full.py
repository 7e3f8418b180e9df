"""A disk that fills up: one sentence that names the path and the way out, exit code 2, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.edits import contents, run_on
from zu_framework import RunFolderError, apply, export_lora, revert
from zu_framework.files import whole_file, whole_folder, write_json

# files may not grow beyond this in the process: writing fails then as it does on a full disk
LIMITED = """
import resource, sys
from zu_framework.cli import main
import zu_framework.sealing, zu_framework.store.checkpoints
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> Path:
    made = run_on(checkpoint, tmp_path / "run")
    apply(made, checkpoint, tmp_path / "edited")
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("command", ["apply", "revert", "export", "seal"])
def test_a_command_that_cannot_write_refuses_and_leaves_nothing(
    command: str, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words = {
        "apply": ["apply", run, checkpoint, tmp_path / "out"],
        "revert": ["revert", run, tmp_path / "edited", tmp_path / "out"],
        "export": ["export", run, "--lora", tmp_path / "out"],
        "seal": ["seal", run],
    }[command]
    limit = {"apply": 50_000, "revert": 50_000, "export": 1000, "seal": 1000}[command]
    before, beside = contents(run), sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written: File too large; choose a folder on another disk" in done.stderr
    assert (contents(run), sorted(tmp_path.iterdir())) == (before, beside)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB, where we may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_with_the_way_out(
    run: Path, checkpoint: Path, tmp_path: Path, small_disk: Path
) -> None:
    said = r"disk/out: cannot be written: No space left on device; free some space, or choose a folder on another disk"
    with pytest.raises(RunFolderError, match=said):
        apply(run, checkpoint, small_disk / "out")
    with pytest.raises(RunFolderError, match=said):
        revert(run, tmp_path / "edited", small_disk / "out")
    (small_disk / "filler").write_bytes(bytes(126_000))
    with pytest.raises(RunFolderError, match=said):
        export_lora(run, small_disk / "out")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_may_not_be_written_is_named(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for write in (
        lambda: write_json(small_disk / "x.json", {}),
        lambda: whole_folder(small_disk / "x").__enter__(),
        lambda: whole_folder(small_disk / "deep" / "er" / "x").__enter__(),
    ):
        with pytest.raises(
            RunFolderError, match=r"cannot be written: Read-only file system; choose another folder"
        ):
            write()


def test_other_errors_in_the_block_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "x"):
        (tmp_path.parent / "elsewhere" / "file").read_text()
    with pytest.raises(ValueError, match="mine"), whole_file(tmp_path / "x"):
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []
