"""Large checkpoints go through `apply` and `revert` one tensor at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.store.edits import contents, differing, rewrite, run_on, stored
from zu_framework.linalg import rounded
from zu_framework.store.run_edit import load_edit
from zu_framework.testing import tiny_model

# Of the process's own memory: what `resource` calls the peak begins at that of the process that started this one.
MEASURED = """
import re, sys
import zu_framework as zu
from pathlib import Path
import zu_framework.store.checkpoints
def held(what):
    found = re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024
def there_and_back(folder):
    zu.apply(folder / "run", folder / "model", folder / "edited")
    zu.revert(folder / "run", folder / "edited", folder / "back")
def taken_out(folder):
    zu.revert(folder / "run", folder / "both", folder / "rest", private=folder)
small, large = map(Path, sys.argv[2:])
work = {"there and back": there_and_back, "taken out": taken_out}[sys.argv[1]]
work(small)  # what is imported on the way is not the checkpoint's
Path("/proc/self/clear_refs").write_text("5")
before = held("VmRSS")
work(large)
print(held("VmHWM") - before)
"""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a process reads its peak memory under /proc"),
]


def large_model(folder: Path) -> int:
    """Save a model in three shards; the size of the largest."""
    lm = tiny_model("llama", hidden_size=1024, intermediate_size=4096, head_dim=256, num_hidden_layers=6)
    lm.save(folder)
    tensors = stored(folder)
    tensors["model.mtp.weight"] = torch.randn(2000, 1000)
    rewrite(folder, tensors, shards=3)
    largest = max(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert largest > 100e6
    return largest


def peak(work: str, small: Path, large: Path) -> int:
    """The memory that the work takes on the large folder, in a process that has done it on the small one."""
    code = [sys.executable, "-c", MEASURED, work, str(small), str(large)]
    return int(subprocess.run(code, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("dense", [False, True], ids=["factors", "dense"])
def test_memory_is_less_than_the_largest_shard(tmp_path: Path, dense: bool) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    tiny_model("llama").save(small / "model")
    run_on(small / "model", small / "run", "bf16", dense=dense)
    folder = large / "model"
    largest = large_model(folder)
    run_on(folder, large / "run", "bf16", layers=range(6), dense=dense)
    assert ((large / "run" / "edit.safetensors").stat().st_size > 1e8) is dense
    taken = peak("there and back", small, large)
    assert len(differing(folder, large / "edited")) == 6
    assert contents(large / "back") == contents(folder)
    assert 0 < taken < 1.25 * largest, f"{taken / 1e6:.0f} MB for shards of {largest / 1e6:.0f} MB"


def test_memory_is_as_little_where_a_dense_edit_is_taken_out_under_a_later_one(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    tiny_model("llama").save(small / "model")
    largest = large_model(large / "model")
    for folder, layers in ((small, range(2)), (large, range(6))):
        run_on(folder / "model", folder / "run", layers=layers, dense=True)
        zu.apply(folder / "run", folder / "model", folder / "edited")
        run_on(folder / "edited", folder / "later", layers=layers, dense=True, seed=1)
        zu.apply(folder / "later", folder / "edited", folder / "both")
    taken = peak("taken out", small, large)
    assert len(differing(large / "both", large / "rest")) == 6
    before, rest = stored(large / "model"), stored(large / "rest")
    for site in load_edit(large / "later").sites:
        assert torch.equal(rest[site.tensor], rounded(site.steps[0], before[site.tensor])[0])
    # 110 MB, and 151 on a machine full of other work; all tensors of the edits together would be 287
    assert 0 < taken < 1.5 * largest, f"{taken / 1e6:.0f} MB for shards of {largest / 1e6:.0f} MB"
