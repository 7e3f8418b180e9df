"""How long the command line takes, and what a whole run holds in memory: `python -m tests.benchmarks.startup`.

Start-up: medians of seven, each in a process of its own, beside the interpreter's own start; `--beside ZU` takes turns
with the `zu` of another version. Seconds of processor time hardly depend on what else the machine does; those of the
wall clock do. Memory: peak resident memory of `zu run demo` beside the model's size and what
importing torch and transformers holds. Prints two tables.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.commands import machine, parser, table
from tests.benchmarks.measuring import MIB
from zu_framework import demo


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--beside", metavar="ZU", help="another `zu`, timed in turn with this one")
    asked = arguments.parse_args()
    print(machine(), "\n")
    zu = str(Path(sys.executable).with_name("zu"))
    commands = {"the interpreter alone": [[sys.executable, "-c", "pass"]]}
    for words in (["--help"], ["plugins"], ["check", "demo"]):
        commands[f"`zu {' '.join(words)}`"] = [
            [command, *words] for command in (asked.beside, zu) if command is not None
        ]
    rows = [
        (name, *(f"{one:.3f}" for took in seconds(versions, asked.repeats) for one in took))
        for name, versions in commands.items()
    ]
    sides = ("beside", "here") if asked.beside else ("here",)
    heads = [f"{clock}, {side}" for side in sides for clock in ("processor", "wall")]
    print(table(("command", *heads), [(*row, *[""] * (len(heads) + 1 - len(row))) for row in rows]))
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


def seconds(commands: list[list[str]], repeats: int) -> list[tuple[float, float]]:
    """The median processor and wall time of commands that take turns, after one start of each that is not counted."""
    took: list[list[tuple[float, float]]] = [[] for _ in commands]
    for _ in range(repeats + 1):
        for command, times in zip(commands, took, strict=True):
            begin, used = time.perf_counter(), processor_seconds()
            subprocess.run(command, check=True, capture_output=True)
            times.append((processor_seconds() - used, time.perf_counter() - begin))
    return [(median(used for used, _ in times[1:]), median(wall for _, wall in times[1:])) for times in took]


def processor_seconds() -> float:
    """What all finished child processes have used so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def peak(command: list[str]) -> float:
    """Peak resident memory of a command in MiB; commands must be called with growing peaks (the largest child's)."""
    subprocess.run(command, check=True, capture_output=True)
    unit = MIB if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


if __name__ == "__main__":
    main()
