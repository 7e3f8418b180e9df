"""How long the command line takes to answer, and what a whole run holds: `python -m tests.benchmarks.startup`.

Start-up: the best of five, each in a process of its own, beside the interpreter's own start. Memory: peak resident
memory of `zu run demo` beside the model's size and what importing torch and transformers holds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.benchmarks.measuring import MIB, machine

REPEATS = 5


def main() -> None:
    """Print two tables."""
    print(machine(torch.get_num_threads()), "\n")
    zu = str(Path(sys.executable).with_name("zu"))
    floor = seconds([sys.executable, "-c", "pass"])
    print("| command | seconds | the interpreter alone |\n| --- | --- | --- |")
    for name, command in {
        "`zu --help`": [zu, "--help"],
        "`zu plugins`": [zu, "plugins"],
        "`zu check demo`": [zu, "check", "demo"],
    }.items():
        print(f"| {name} | {seconds(command):.2f} | {floor:.2f} |")
    weights = Path("zu_framework/demo/model/model.safetensors")
    size = weights.stat().st_size / MIB if weights.is_file() else float("nan")
    bare = peak(
        [sys.executable, "-c", "import torch, transformers; from transformers import AutoModelForCausalLM"]
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = peak([zu, "run", "demo", f"output.folder={folder}"])
    print("\n| what | peak memory, MiB |\n| --- | --- |")
    print(f"| the demo model's weights on disk | {size:.0f} |")
    print(f"| importing torch and transformers | {bare:.0f} |")
    print(f"| `zu run demo`, all of it | {whole:.0f} |")


def seconds(command: list[str]) -> float:
    """The best of `REPEATS`."""
    took = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - begin)
    return min(took)


def peak(command: list[str]) -> float:
    """Peak resident memory of a command in MiB; commands must be called with growing peaks (the largest child's)."""
    subprocess.run(command, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (
        MIB if sys.platform == "darwin" else 1024
    )


if __name__ == "__main__":
    main()
