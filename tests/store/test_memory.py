"""Large checkpoints go through `apply` and `revert` one tensor at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.store.edits import contents, differing, rewrite, run_on, stored
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
small, large = map(Path, sys.argv[1:])
there_and_back(small)  # what is imported on the way is not the checkpoint's
Path("/proc/self/clear_refs").write_text("5")
before = held("VmRSS")
there_and_back(large)
print(held("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process reads its peak memory under /proc")
@pytest.mark.parametrize("dense", [False, True], ids=["factors", "dense"])
def test_memory_is_less_than_the_largest_shard(tmp_path: Path, dense: bool) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    tiny_model("llama").save(small / "model")
    run_on(small / "model", small / "run", "bf16", dense=dense)
    folder = large / "model"
    lm = tiny_model("llama", hidden_size=1024, intermediate_size=4096, head_dim=256, num_hidden_layers=6)
    lm.save(folder)
    tensors = stored(folder)
    tensors["model.mtp.weight"] = torch.randn(2000, 1000)
    rewrite(folder, tensors, shards=3)
    largest = max(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert largest > 100e6
    run_on(folder, large / "run", "bf16", layers=range(6), dense=dense)
    assert ((large / "run" / "edit.safetensors").stat().st_size > 1e8) is dense
    code = [sys.executable, "-c", MEASURED, str(small), str(large)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert len(differing(folder, large / "edited")) == 6
    assert contents(large / "back") == contents(folder)
    assert 0 < int(done.stdout) < largest, (
        f"{int(done.stdout) / 1e6:.0f} MB for shards of {largest / 1e6:.0f} MB"
    )
