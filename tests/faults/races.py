"""Several processes at once: nobody's work is lost, nothing is written twice, no half is seen."""

from __future__ import annotations

import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

import zu_framework as zu
from tests.faults.kills import _left_lying
from tests.faults.world import Trial, World, rotated
from tests.store.edits import contents
from zu_framework.store.cache import TensorCache
from zu_framework.store.run_edit import load_edit


def races(world: World, count: int) -> Iterator[Trial]:
    """Runs under one name and under none, `apply` to one folder, writes to one entry of the cache."""
    yield from rotated([_unnamed, _named, _one_target, _one_entry], world, count)


def _at_once(works: Sequence[Callable[[], object]]) -> list[str]:
    """Do each in a process of its own, all at once; what each raised, "" for nothing."""
    sys.stdout.flush()
    children = []
    for work in works:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = ""
            try:
                for stream in (1, 2):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
                work()
            except zu.ZuError as told:
                said = f"refused: {told}"
            except BaseException:
                said = traceback.format_exc()
            finally:
                os.write(write, said.encode()[:4000])
                os._exit(0)
        os.close(write)
        children.append((child, read))
    found = []
    for child, read in children:
        with os.fdopen(read, "rb") as pipe:
            found.append(pipe.read().decode())
        os.waitpid(child, 0)
    return found


def _run(world: World, folder: Path, name: str | None, seed: int) -> Callable[[], object]:
    output = {"folder": str(folder), "name": name, "report": False}
    return lambda: zu.run({**world.settings, "seed": seed, "output": output})


def _unnamed(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    for _ in range(count):
        folder = world.empty("race")
        said = _at_once([_run(world, folder, None, seed) for seed in range(4)])
        whole = [
            load_edit(path).about["seed"]
            for path in folder.iterdir()
            if path.is_dir() and path.name[0] != "."
        ]
        lost = "" if sorted(whole) == [0, 1, 2, 3] else f"{len(whole)} of 4 results are there"
        yield "four runs without a name", "in one second", "".join(said)[:200] or lost or _left_lying(folder)


def _named(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    for _ in range(count):
        folder = world.empty("race")
        said = _at_once([_run(world, folder, "one", seed) for seed in range(3)])
        won = [number for number, told in enumerate(said) if not told]
        wrong = [
            told
            for told in said
            if told and "another run" not in told and "exists: choose another" not in told
        ]
        why = wrong[0][-200:] if wrong else "" if len(won) == 1 else f"{len(won)} of 3 say that they are done"
        if not why:
            why = "" if load_edit(folder / "one").about["seed"] == won[0] else "another run's result"
        yield "three runs under one name", "at once", why or _left_lying(folder)


def _one_target(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    wanted = contents(world.edited)
    for _ in range(count):
        folder = world.empty("race")
        said = _at_once([partial(zu.apply, world.run, world.model, folder / "out")] * 4)
        wrong = [told for told in said if told and not told.startswith("refused")]
        why = wrong[0][-200:] if wrong else "" if said.count("") == 1 else f"{said.count('')} of 4 say done"
        if not why and contents(folder / "out") != wanted:
            why = "half of a checkpoint"
        yield "four times apply", "to one folder", why or _left_lying(folder)


def _one_entry(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    for number in range(count):
        folder = world.empty("race")
        tensors = {"x": torch.full((500_000,), float(number))}

        def work(folder: Path = folder, tensors: dict[str, torch.Tensor] = tensors) -> None:
            cache = TensorCache(folder)
            for _ in range(5):
                cache.make_room(10**9)
                cache.store("key", tensors, {})
                found = cache.load("key")
                assert found is None or torch.equal(found[0]["x"], tensors["x"])

        said = _at_once([work] * 4)
        found = TensorCache(folder).load("key")
        why = "" if found is not None and torch.equal(found[0]["x"], tensors["x"]) else "a wrong entry"
        yield "four writers", "of one entry of the cache", "".join(said)[-200:] or why or _left_lying(folder)
