"""Undo: an edit is put on and taken off, whole folders compared."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import product

import torch

import zu_framework as zu
from tests.faults.world import Trial, World
from tests.store.edits import DTYPES, contents, differing, rewrite, run_on, stored
from zu_framework.testing import tiny_model
from zu_framework.testing.models import FAMILIES

LAYOUTS = ("one file", "three shards", "extra tensors", "mixed dtypes", "tied twice")


def undo(world: World, count: int) -> Iterator[Trial]:
    """Families, dtypes of files and runs, and layouts, in an order that a seed gives."""
    families = [name for name in FAMILIES if tiny_model(name).architecture.projections]
    cases = list(product(families, DTYPES, DTYPES, LAYOUTS))
    random.Random(0).shuffle(cases)
    for number in range(count):
        family, kept, made, layout = cases[number]
        what = f"{family}, files {kept}, run {made}, {layout}"
        yield "undo", what, _trial(world, number, family, kept, made, layout)


def _trial(world: World, number: int, family: str, kept: str, made: str, layout: str) -> str:
    folder = world.empty("undo")
    lm = tiny_model(family, seed=number, dtype=DTYPES[kept])
    lm.save(folder / "model")
    layers = sorted(lm.architecture.projections)[:2]
    _laid_out(folder / "model", layout)
    (folder / "model" / "README.md").write_text("kept")
    run = run_on(folder / "model", folder / "run", made, layers, seed=number)
    zu.apply(run, folder / "model", folder / "edited")
    changed = differing(folder / "model", folder / "edited")
    if len(changed) != len(layers):
        return f"{len(changed)} tensors differ for {len(layers)} edited weights"
    zu.revert(run, folder / "edited", folder / "back")
    held = contents(folder / "back") == contents(folder / "model")
    shutil.rmtree(folder)
    return "" if held else "the original is not back, byte for byte"


def _laid_out(folder: object, layout: str) -> None:
    from pathlib import Path

    place = Path(str(folder))
    tensors = stored(place)
    if layout == "three shards":
        rewrite(place, tensors, shards=3)
    elif layout == "extra tensors":
        rewrite(place, {**tensors, "model.mtp.head.weight": torch.ones(3, 5)}, shards=2)
    elif layout == "mixed dtypes":
        rewrite(place, {n: t.float() if "norm" in n or "ln" in n else t for n, t in tensors.items()})
    elif layout == "tied twice" and "lm_head.weight" not in tensors:
        name = next((n for n in tensors if n.endswith(("embed_tokens.weight", "wte.weight"))), None)
        if name is not None:
            rewrite(place, {**tensors, "lm_head.weight": tensors[name].clone()})
