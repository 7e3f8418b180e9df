"""Executors alone: every job ends once, and a worker that dies loses its own job only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zu_framework import ConfigError, Finished, NoOptions
from zu_plugins.executors.local import execute as local
from zu_plugins.executors.options import ProcessOptions, RayOptions
from zu_plugins.executors.processes import execute as processes


def work(job: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker is told: die, sleep, or square a number."""
    if job.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "touch" in job:
        try:
            time.sleep(60)
        finally:
            Path(job["touch"]).touch()
    return {"square": job["n"] ** 2, "pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")}


def test_local_runs_in_order_here() -> None:
    found = list(local(work, [{"n": n} for n in range(3)], NoOptions()))
    assert [(f.index, f.answer["square"]) for f in found if f.answer] == [(0, 0), (1, 1), (2, 4)]
    assert all(f.answer and f.answer["pid"] == os.getpid() for f in found)


def test_processes_answer_each_job_once_and_serve_many(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(processes(work, [{"n": n} for n in range(7)], ProcessOptions(workers=2, threads=3)))
    assert sorted((f.index, f.answer["square"]) for f in found if f.answer) == [(n, n * n) for n in range(7)]
    pids = {f.answer["pid"] for f in found if f.answer}
    assert len(pids) <= 2 and os.getpid() not in pids
    assert {f.answer["threads"] for f in found if f.answer} == {"3"}
    assert os.environ["OMP_NUM_THREADS"] == "1", "our own is as it was"


def test_a_worker_that_dies_loses_its_job_alone() -> None:
    jobs = [{"n": 0}, {"n": 1, "die": True}, {"n": 2}, {"n": 3}]
    found = {f.index: f for f in processes(work, jobs, ProcessOptions(workers=1))}
    assert sorted(found) == [0, 1, 2, 3]
    assert found[1] == Finished(
        1, None, "its worker process died (SIGKILL: the machine ran out of memory, perhaps)"
    )
    assert [found[n].answer["square"] for n in (0, 2, 3)] == [0, 4, 9]  # type: ignore[index]


def test_closing_interrupts_what_is_at_work(tmp_path: Path) -> None:
    jobs = [{"n": 0}, {"n": 1, "touch": str(tmp_path / "cleaned")}]
    running = processes(work, jobs, ProcessOptions(workers=1))
    next(running)
    stream: Any = running
    # the second job is handed over before the generator waits again; give it the time to begin
    with pytest.raises(KeyboardInterrupt):
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        next(stream)
    assert (tmp_path / "cleaned").exists(), "the worker's `finally` ran"


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": -1}])
def test_impossible_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        ProcessOptions(**wrong)


@pytest.mark.slow
def test_ray_answers_each_job_and_tells_of_a_lost_worker() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from zu_plugins.executors.ray_cluster import execute

    jobs = [{"n": 2}, {"n": 3, "die": True}, {"n": 4}]
    found = {f.index: f for f in execute(work, jobs, RayOptions(address="local"))}
    assert [found[n].answer["square"] for n in (0, 2)] == [4, 16]  # type: ignore[index]
    assert found[1].answer is None and "lost" in found[1].lost


def test_a_cluster_that_is_not_there_is_a_mistake_of_the_config() -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from zu_plugins.executors.ray_cluster import execute

    with pytest.raises(ConfigError, match="no Ray cluster answers there"):
        list(execute(work, [{"n": 1}], RayOptions(address="nonsense")))
