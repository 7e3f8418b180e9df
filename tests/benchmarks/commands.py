"""What every benchmark's command has: its arguments from its own docstring, a line on the machine, Markdown tables."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import torch


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose `--help` is the module's docstring as it is written."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def threads_of(arguments: argparse.ArgumentParser, default: int | None = None) -> None:
    """Add `--threads`; without it all cores, or `default`."""
    arguments.add_argument("--threads", type=int, default=default or os.cpu_count() or 1)


def machine() -> str:
    """One line: device, threads, versions, date, and how busy the machine is."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}{load}"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
