"""How long the command line takes, and what a whole run holds in memory: `python -m tests.benchmarks.startup`.

Start-up: medians of seven, on the clock and of the processor, each in a process of its own, beside the interpreter's
own start; `--beside ZU` takes turns with the `zu` of another version. Memory: peak resident memory of `zu run demo`
beside the model's size and what importing torch and transformers holds. Prints two tables.
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
        (name, *(f"{wall:.2f} ({processor:.2f})" for wall, processor in seconds(versions, asked.repeats)))
        for name, versions in commands.items()
    ]
    heads = ("beside", "here") if asked.beside else ("here",)
    print(
        table(
            ("seconds (of the processor)", *heads),
            [(*row, *[""] * (len(heads) + 1 - len(row))) for row in rows],
        )
    )
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
    """The medians, on the clock and of the processor, of commands that take turns; a first start is not counted."""
    took: list[list[tuple[float, float]]] = [[] for _ in commands]
    for _ in range(repeats + 1):
        for command, times in zip(commands, took, strict=True):
            begin, busy = time.perf_counter(), _processor()
            subprocess.run(command, check=True, capture_output=True)
            times.append((time.perf_counter() - begin, _processor() - busy))
    return [
        (median(wall for wall, _ in times[1:]), median(processor for _, processor in times[1:]))
        for times in took
    ]


def _processor() -> float:
    """Seconds of the processor that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak(command: list[str]) -> float:
    """Peak resident memory of a command in MiB; commands must be called with growing peaks (the largest child's)."""
    subprocess.run(command, check=True, capture_output=True)
    unit = MIB if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


if __name__ == "__main__":
    main()
