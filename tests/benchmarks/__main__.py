"""Every phase's benchmark, one after the other: `python -m tests.benchmarks [PHASE ...] [--full] [--device cuda]`.

Each phase is a module of this package and runs in a process of its own, so that no peak of memory is another's. By
default sizes are small (minutes in all); `--full` takes the sizes of docs/results/.
"""

from __future__ import annotations

import subprocess
import sys
import time

from tests.benchmarks.commands import parser

SMALL = ["--outputs", "384", "--inputs", "1024", "--requests", "50"]
# phase -> (options of the small size, options of the full size, takes --device)
PHASES: dict[str, tuple[list[str], list[str], bool]] = {
    "startup": ([], [], False),
    "solvers": ([*SMALL, "--many", "50,200,1000"], [], False),
    "editors": (SMALL, [], False),
    "background": ([], [], False),
    "targets": (["--size", "small"], ["--size", "50m"], True),
}


def main() -> None:
    """Run the phases asked for; one that fails does not stop the others, and is named at the end."""
    arguments = parser(__doc__)
    arguments.add_argument("phases", nargs="*", metavar="PHASE", help=f"of {', '.join(PHASES)}; default: all")
    arguments.add_argument("--full", action="store_true", help="the sizes of docs/results/, many minutes")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda, for the phases that run a model")
    chosen = arguments.parse_args()
    unknown = [phase for phase in chosen.phases if phase not in PHASES]
    if unknown:
        arguments.error(f"unknown phase {unknown[0]!r}; phases: {', '.join(PHASES)}")
    failed = []
    for phase in chosen.phases or PHASES:
        small, full, takes_device = PHASES[phase]
        options = [*(full if chosen.full else small), *(["--device", chosen.device] if takes_device else [])]
        print(f"\n## {phase}: python -m tests.benchmarks.{phase} {' '.join(options)}\n", flush=True)
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{phase}", *options])
        print(f"\n{phase}: {time.perf_counter() - begin:.0f} s", flush=True)
        if done.returncode:
            failed.append(phase)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
