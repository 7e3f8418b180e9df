"""How long the command line takes, and what a whole run holds in memory: `python -m tests.benchmarks.startup`.

Start-up: the best of five, each in a process of its own, beside the interpreter's own start. Memory: peak resident
memory of `zu run demo` beside the model's size and what importing torch and transformers holds. Prints two tables.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.commands import machine, parser, table
from tests.benchmarks.measuring import MIB
from zu_framework import demo


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats
    print(machine(), "\n")
    zu = str(Path(sys.executable).with_name("zu"))
    commands = {
        "the interpreter alone": [sys.executable, "-c", "pass"],
        "`zu --help`": [zu, "--help"],
        "`zu plugins`": [zu, "plugins"],
        "`zu check demo`": [zu, "check", "demo"],
    }
    rows = [(name, f"{seconds(command, repeats):.2f}") for name, command in commands.items()]
    print(table(("command", "seconds"), rows))
    weights = (demo.model_path() / "model.safetensors").stat().st_size / MIB
    bare = peak(
        [sys.executable, "-c", "import torch, transformers; from transformers import AutoModelForCausalLM"]
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = peak([zu, "run", "demo", f"output.folder={folder}"])
    held = {
        "the demo model's weights on disk": weights,
        "importing torch and transformers": bare,
        "`zu run demo`, all of it": whole,
    }
    shown = [(name, f"{mib:.0f}") for name, mib in held.items()]
    print(f"\n{table(('what', 'peak memory, MiB'), shown)}")


def seconds(command: list[str], repeats: int) -> float:
    """The best of the repeats."""
    took = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - begin)
    return min(took)


def peak(command: list[str]) -> float:
    """Peak resident memory of a command in MiB; commands must be called with growing peaks (the largest child's)."""
    subprocess.run(command, check=True, capture_output=True)
    unit = MIB if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


if __name__ == "__main__":
    main()
