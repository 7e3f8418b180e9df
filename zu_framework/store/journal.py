"""What happened in a run, and when: one JSON object a line, with the time and memory of each phase."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has none
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


class Journal:
    """Keeps events and phase times; writes them to `stream` as they happen, where one is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.seconds: dict[str, float] = {}
        # by kind of cached result: seconds it once took less those spent to find it
        self.saved: dict[str, float] = {}
        self._start = time.perf_counter()
        self._stream = stream
        self.on_phase: Callable[[str], None] = lambda name: None  # told as a phase begins

    def write_to(self, stream: TextIO) -> None:
        """Write all events, those of the past included, to this stream from now on."""
        self._stream = stream
        for event in self.events:
            stream.write(json.dumps(event) + "\n")

    def continue_in(self, stream: TextIO | None) -> None:
        """Write the events from now on to this stream; None keeps them in memory alone."""
        self._stream = stream

    def record(self, event: str, **data: Any) -> None:
        """Keep one event with its time in seconds since the start."""
        entry = {"event": event, "at": round(time.perf_counter() - self._start, 4), **data}
        self.events.append(entry)
        if self._stream is not None:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase; phases of one name add up."""
        self.on_phase(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            self.record("phase", name=name, seconds=round(took, 4), peak_memory_bytes=peak_memory_bytes())
