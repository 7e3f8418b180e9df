"""What happened in a run, and when: one JSON object a line, with the time and memory of each phase."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from zu_framework.contracts import Progress, no_progress

LOG = "log.jsonl"  # in a run folder


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has none
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


class Journal:
    """Keeps events and phase times, and writes the events to a file while it is `logged`.

    Args:
        progress: Told of each phase as it begins.
    """

    def __init__(self, progress: Progress = no_progress) -> None:
        self.events: list[dict[str, Any]] = []
        self.seconds: dict[str, float] = {}
        # by kind of cached result: seconds it once took less those spent to find it
        self.saved: dict[str, float] = {}
        self.failed_parts: dict[str, str] = {}  # why optional parts of the run could not be saved, by name
        self.failure = ""  # why the file is not whole: a full disk costs the log, not the run
        self._start = time.perf_counter()
        self._stream: TextIO | None = None
        self._progress = progress

    @contextmanager
    def logged(self, path: Path, *, again: bool = False) -> Iterator[None]:
        """Write events to a file as they happen, while the block lasts.

        Args:
            path: One JSON object a line; those of the past come first.
            again: Append to a file that holds the past already.
        """
        with ExitStack() as opened:
            try:
                self._stream = path.open("a" if again else "w", encoding="utf-8")
            except OSError as cause:
                self.failure = str(cause)
            else:
                opened.callback(self._close, self._stream)
            for event in () if again else self.events:
                self._write(event)
            yield

    def record(self, event: str, **data: Any) -> None:
        """Keep one event with its time in seconds since the start.

        Args:
            event: What happened.
            data: About it, as JSON holds it.
        """
        entry = {"event": event, "at": round(time.perf_counter() - self._start, 4), **data}
        self.events.append(entry)
        self._write(entry)

    def part_failed(self, name: str, why: str) -> None:
        """Note that an optional part could not be saved; the run goes on.

        Args:
            name: Of the part.
            why: It failed, on one line.
        """
        self.failed_parts[name] = why
        self.record("part failed", part=name, error=why)

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()
        except OSError as cause:
            self.failure, self._stream = str(cause), None

    def _close(self, stream: TextIO) -> None:
        self._stream = None
        try:
            stream.close()  # which writes again what could not be written
        except OSError as cause:
            self.failure = str(cause)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase; phases of one name add up."""
        self._progress(name, 0, 0)
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            self.record("phase", name=name, seconds=round(took, 4), peak_memory_bytes=peak_memory_bytes())
