"""The cache never costs a run: any dtype, a folder that is not ours, leftovers of killed processes, a bounded size."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zu_framework import ConfigError, Remembered
from zu_framework.store.cache import MOST_LOCKS, TensorCache, limit_bytes
from zu_framework.store.journal import Journal
from zu_framework.store.sharing import shared_results


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64, torch.bool]
)
def test_what_is_remembered_may_have_any_dtype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setenv("ZU_CACHE", str(tmp_path))
    made = {
        "x": torch.ones(3, 2).to(dtype),
        "alone": torch.tensor(1).to(dtype),
        "none": torch.empty(0, dtype=dtype),
    }
    calls: list[int] = []

    def compute() -> Remembered:
        calls.append(1)
        return Remembered(made, {"n": 1})

    remember = shared_results(Journal())
    for _ in range(2):
        found = remember("mine", lambda: {"dtype": str(dtype)}, compute)
        assert {name: tensor.dtype for name, tensor in found.tensors.items()} == dict.fromkeys(made, dtype)
        assert all(torch.equal(found.tensors[name], made[name]) for name in made)
    assert len(calls) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_what_follows_from_the_facts_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZU_CACHE", str(tmp_path))
    before = os.umask(0)
    try:
        shared_results(Journal())("mine", dict, lambda: Remembered({"x": torch.ones(2)}, {}))
        TensorCache(tmp_path).store("moments", {"x": torch.ones(2)}, {})
    finally:
        os.umask(before)
    (kept,) = (tmp_path / "mine").glob("*.safetensors")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "moments" / "moments.safetensors").stat().st_mode) == 0o666


def unwritable(monkeypatch: pytest.MonkeyPatch, cache: TensorCache) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)


def no_locks(monkeypatch: pytest.MonkeyPatch, cache: TensorCache) -> None:
    def refuse(self: Any, *args: Any, **more: Any) -> None:
        raise PermissionError(13, "Permission denied", "x.lock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (unwritable, "cannot be written: what it holds is read"),
        (no_locks, "cannot be locked .*: the run goes on without"),
    ],
)
def test_a_cache_that_is_not_ours_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None], said: str
) -> None:
    TensorCache(tmp_path).store("key", {"x": torch.ones(2)}, {"n": 1})
    fault(monkeypatch, TensorCache(tmp_path))
    with pytest.warns(UserWarning, match=said):
        cache = TensorCache(tmp_path)
        with cache.lock("key"):
            found = cache.load("key")
    assert found is not None and torch.equal(found[0]["x"], torch.ones(2))
    monkeypatch.undo()


def test_a_cache_on_a_read_only_disk_that_is_not_there_yet_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *args: Any, **more: Any) -> None:
        raise OSError(30, "Read-only file system", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        with pytest.warns(UserWarning, match="cannot be written"):
            cache = TensorCache(tmp_path / "new")
        with cache.lock("key"):
            cache.store("key", {"x": torch.ones(2)}, {})
            assert cache.load("key") is None
        cache.make_room(0)


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, sys, torch\nfrom pathlib import Path\n"
        "import zu_framework.store.cache as cache\n"
        "def killed(*a, **k):\n"
        "    Path(a[1]).write_bytes(b'half'); print('ready', flush=True); sys.stdin.read()\n"
        "cache.save_file = killed\n"
        "cache.TensorCache(Path(sys.argv[1])).store('key', {'x': torch.ones(2)}, {})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    folder = tmp_path / "moments"
    other = TensorCache(tmp_path)
    other.store("other", {"x": torch.ones(2)}, {})
    assert len(list(folder.iterdir())) == 2, "what is being written is left alone"
    process.kill()
    process.wait()
    other.store("other", {"x": torch.ones(2)}, {})
    assert [path.name for path in folder.iterdir()] == ["other.safetensors"]


def test_entries_and_locks_are_bounded(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    for number in range(3):
        cache.store(f"k{number}", {"x": torch.ones(1000)}, {})
        os.utime(tmp_path / "moments" / f"k{number}.safetensors", (number, number))
    assert cache.load("k0") is not None, "reading counts as use"
    for number in range(MOST_LOCKS + 5):
        (tmp_path / "moments" / f"{number}.lock").touch()
        os.utime(tmp_path / "moments" / f"{number}.lock", (number, number))
    with cache.lock("1"):
        os.utime(tmp_path / "moments" / "1.lock", (0, 0))
        cache.make_room(9000)
        assert (tmp_path / "moments" / "1.lock").exists(), "a held lock stays"
    assert sorted(p.stem for p in (tmp_path / "moments").glob("*.safetensors")) == ["k0", "k2"]
    assert MOST_LOCKS <= len(list((tmp_path / "moments").glob("*.lock"))) <= MOST_LOCKS + 1


@pytest.mark.parametrize("given", ["nan", "inf", "-1", "much"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("ZU_CACHE_GIB", given)
    with pytest.raises(ConfigError, match="ZU_CACHE_GIB"):
        limit_bytes()


def test_a_damaged_entry_is_no_entry(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    for damage in (lambda raw: raw[:-3], lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: b""):
        cache.store("key", {"x": torch.ones(100)}, {})
        path = tmp_path / "moments" / "key.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.warns(UserWarning, match="is damaged"):
            assert cache.load("key") is None
        assert not path.exists()


def test_the_time_of_use_is_noted(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.store("key", {"x": torch.ones(1)}, {})
    path = tmp_path / "moments" / "key.safetensors"
    os.utime(path, (1, 1))
    cache.load("key")
    assert path.stat().st_mtime > time.time() - 100


def test_an_entry_that_cannot_be_looked_at_is_computed_anew(tmp_path: Path) -> None:
    assert TensorCache(tmp_path).load("x" * 5000) is None, "no file has such a name, and looking is an error"
