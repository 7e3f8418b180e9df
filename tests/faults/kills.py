"""Killing with -9, at a random moment: what was there is as it was, what is new is whole, nothing is left lying."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

import zu_framework as zu
from tests.faults.world import Maker, Trial, World, rotated, unchanged
from tests.store.edits import contents
from zu_framework.files import MARK
from zu_framework.store.cache import TensorCache
from zu_framework.store.run_edit import load_edit


def kills(world: World, count: int) -> Iterator[Trial]:
    """Kills during a run, `apply`, `revert`, an export, a seal, and writes to the cache, in turn."""
    makers: list[Maker] = [_runs, _applied, _reverted, _saved, _sealed, _cached]
    yield from rotated(makers, world, count)


def _started(work: Callable[[], object]) -> int:
    """Do some work in a process of its own, silently; its number. It ends with 1 where the work raises."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def _killed(work: Callable[[], object], after: float) -> str:
    """Do some work in a process of its own and kill it; why that says nothing: "" where it was killed or done."""
    child = _started(work)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return "" if os.WIFSIGNALED(status) or not os.WEXITSTATUS(status) else "the work failed by itself"


def _took(work: Callable[[], object]) -> float:
    """How long the work takes undisturbed; it must not fail, or no kill would strike."""
    _killed(work, 0.0)
    begun = time.monotonic()
    _, status = os.waitpid(_started(work), 0)
    if status:
        raise RuntimeError("the work fails undisturbed")
    return time.monotonic() - begun


def _left_lying(folder: Path) -> str:
    """What a killed process left, after the next writer came by."""
    left = [
        path.name for path in folder.rglob("*") if path.name.endswith((MARK, ".tmp")) or ".tmp" in path.suffix
    ]
    return f"left lying: {', '.join(left)}" if left else ""


def _runs(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("killed-run")

    def work() -> object:
        settings = {**world.settings, "output": {"folder": str(folder), "name": "one", "model": True}}
        return zu.run(settings)

    longest = _took(work)
    for _ in range(count):
        shutil.rmtree(folder / "one", ignore_errors=True)
        after = draw.uniform(0, longest)
        why = _killed(work, after)
        if (folder / "one").exists():
            why = why or _whole_run(folder / "one")
            shutil.rmtree(folder / "one")
        work()  # the name is free, and what was left goes
        yield "kill a run", f"after {after:.2f} s", why or _whole_run(folder / "one") or _left_lying(folder)


def _whole_run(run: Path) -> str:
    try:
        load_edit(run)
        return "" if (run / "metrics.json").is_file() else "a run folder without metrics"
    except zu.ZuError as told:
        return f"a broken run folder: {told}"


def _applied(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("killed-apply")
    wanted = contents(world.edited)
    yield from _writing(
        folder, lambda out: zu.apply(world.run, world.model, out), wanted, draw, count, "apply", world
    )


def _reverted(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("killed-revert")
    wanted = contents(world.model)
    yield from _writing(
        folder, lambda out: zu.revert(world.run, world.edited, out), wanted, draw, count, "revert", world
    )


def _writing(
    folder: Path,
    work: Callable[[Path], object],
    wanted: dict[str, bytes],
    draw: random.Random,
    count: int,
    what: str,
    world: World,
) -> Iterator[Trial]:
    run, longest = contents(world.run), _took(lambda: work(folder / "timed"))
    for number in range(count):
        out, after = folder / f"out{number}", draw.uniform(0, 1.2 * longest)
        why = _killed(partial(work, out), after)
        why = why or ("" if not out.exists() or contents(out) == wanted else "half of a checkpoint")
        shutil.rmtree(out, ignore_errors=True)
        work(out)  # the same name is free, and what was left goes
        if not why and contents(out) != wanted:
            why = "the next call wrote something else"
        why = why or _left_lying(folder) or unchanged(world.run, run)
        shutil.rmtree(out)
        yield f"kill {what}", f"after {after:.3f} s", why


def _saved(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("killed-export")
    zu.export_lora(world.run, folder / "whole")
    wanted = contents(folder / "whole")
    yield from _writing(
        folder, lambda out: zu.export_lora(world.run, out), wanted, draw, count, "export", world
    )


def _sealed(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    longest = 0.0
    for number in range(count):
        run = world.copy(world.run, f"killed-seal-{number}")

        def work(run: Path = run) -> object:
            return zu.seal(run, deliver=lambda key: None)

        longest = longest or _took(
            lambda: zu.seal(world.copy(world.run, "timed-seal"), deliver=lambda key: None)
        )
        before, after = contents(run), draw.uniform(0, 1.2 * longest)
        why = _killed(work, after)
        if (run / "manifest.json").exists():
            why = why or ("sealed, and the factors are there" if (run / "edit.safetensors").exists() else "")
        elif not (run / ".sealed" / "manifest.json").exists():
            own = {n: raw for n, raw in contents(run).items() if not n.startswith(".seal")}
            why = why or ("" if own == before else "something went before the seal was decided")
        if not (run / "manifest.json").exists():
            work()
        left = {name for name in contents(run) if name.startswith(".") or name.endswith("safetensors")}
        yield "kill a seal", f"after {after:.3f} s", why or (f"left: {left}" if left else "")
        shutil.rmtree(run)


def _cached(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("killed-cache")
    tensors = {"x": torch.arange(2_000_000, dtype=torch.float32)}

    def work(key: str = "key") -> None:
        TensorCache(folder).store(key, tensors, {})

    longest = _took(work)
    for _ in range(count):
        after = draw.uniform(0, 1.2 * longest)
        why = _killed(work, after)
        found = TensorCache(folder).load("key")
        if found is not None and not torch.equal(found[0]["x"], tensors["x"]):
            why = "a wrong entry"
        work("other")
        yield "kill a cache write", f"after {after:.3f} s", why or _left_lying(folder)
