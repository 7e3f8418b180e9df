"""`processes`: a few long-lived worker processes, each with a pipe; one that dies loses its job and is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from zu_framework import Finished
from zu_plugins.executors.options import ProcessOptions

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]

GRACE_SECONDS = 10.0  # for a stopped worker to remove what it had half-written

# read by the numerical libraries when they are first imported
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Worker:
    """A process, our end of its pipe, and the job it is at."""

    process: Any
    pipe: Connection
    index: int | None = None


def execute(work: Work, jobs: Sequence[Mapping[str, Any]], options: ProcessOptions) -> Iterator[Finished]:
    """Hand each idle worker the next job until all have ended.

    A worker serves many jobs, since importing the numerical libraries takes longer than a small cell. It is spawned,
    not forked: threads and GPUs do not survive a fork.
    """
    waiting = list(enumerate(jobs))[::-1]
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.index is not None for worker in workers):
            for worker in [w for w in workers if w.index is None]:
                if waiting:
                    _hand_over(worker, *waiting.pop())
            while waiting and len(workers) < options.workers:
                workers.append(_started(work, options, len(workers)))
                _hand_over(workers[-1], *waiting.pop())
            yield from _ended(workers)
    finally:
        _stop(workers)


def _hand_over(worker: _Worker, index: int, job: Mapping[str, Any]) -> None:
    worker.index = index
    with suppress(OSError):  # it has died: `_ended` says so of this job
        worker.pipe.send(job)


def _ended(workers: list[_Worker]) -> list[Finished]:
    """Wait until at least one busy worker has answered or died; dead ones are taken off the list."""
    busy = [worker for worker in workers if worker.index is not None]
    ready = set(wait([w.pipe for w in busy] + [w.process.sentinel for w in busy]))
    found = []
    for worker in busy:
        if worker.pipe not in ready and worker.process.sentinel not in ready:
            continue
        index = worker.index
        assert index is not None
        try:
            found.append(Finished(index, worker.pipe.recv()))
            worker.index = None
        except (EOFError, OSError):
            worker.process.join()
            workers.remove(worker)
            found.append(Finished(index, lost=f"its worker process died ({_death(worker.process.exitcode)})"))
    return found


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}: the machine ran out of memory, perhaps" if name == "SIGKILL" else name


def _started(work: Work, options: ProcessOptions, number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), name=f"zu-worker-{number}", daemon=True)
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.workers)
    with _environment({name: str(threads) for name in _THREADS if options.threads or name not in os.environ}):
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that a process started meanwhile inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def _stop(workers: Sequence[_Worker]) -> None:
    """End idle workers and interrupt busy ones, which then leave nothing half-written."""
    for worker in workers:
        worker.pipe.close()
        if worker.index is not None:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(work: Work, pipe: Connection) -> None:
    """A worker's life: jobs from the pipe until it is closed, or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    # an exception, so that half-written folders are removed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(work(job))


def _end_with_parent() -> None:
    """A parent that was killed cannot stop us; nobody would take our answers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
