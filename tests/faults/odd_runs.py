"""Malformed run folders, manifests, cells of a bench, and entries of the cache."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zu_framework as zu
from tests.faults.odd import put_odd, written
from tests.faults.world import Maker, Trial, World, bytes_changed, command, refused
from tests.store.edits import contents, run_on


def _edit_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted, restored = contents(world.edited), contents(world.model)
    for number in range(count):
        run = world.copy(world.run, "malformed-edit")
        path = run / "edit.safetensors"
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        words = ("apply", run, world.model) if number % 2 else ("revert", run, world.edited)
        right = wanted if number % 2 else restored
        yield written("run, edit.safetensors", words[0], out, right, *words, out)


def _edit_fields(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.edited)
    for _ in range(count):
        run = world.copy(world.run, "malformed-fields")
        path = run / "edit.safetensors"
        tensors = load_file(path)
        with safe_open(path, "pt") as opened:
            about = json.loads(opened.metadata()["zu"])
        where, value = put_odd(about, draw)
        if draw.random() < 0.3:
            name = draw.choice(sorted(tensors))
            tensors[name] = draw.choice((tensors[name] * 2, tensors[name] * float("nan"), torch.zeros(1)))
            where = f"{where} and {name}"
        save_file(tensors, path, metadata={"zu": json.dumps(about)})
        yield written("run, fields", f"{where}={value!r}", out, wanted, "apply", run, world.model, out)


def _undo(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.model)
    for _ in range(count):
        run = world.copy(world.run, "malformed-undo")
        path = run / "undo.safetensors"
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        yield written("run, undo.safetensors", "revert", out, wanted, "revert", run, world.edited, out)


def _originals(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    folder = world.empty("malformed-originals")
    sound = run_on(world.model, folder / "run", "bf16")
    zu.apply(sound, world.model, folder / "edited")
    (name,) = (path.name for path in sound.glob("originals-*"))
    wanted = contents(world.model)
    for _ in range(count):
        run = world.copy(sound, "malformed-originals-run")
        (run / name).write_bytes(bytes_changed((run / name).read_bytes(), draw))
        yield written("run, originals", name, out, wanted, "revert", run, folder / "edited", out)


def _report(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    names = (
        "metrics.json",
        "facts.json",
        "log.jsonl",
        "config.yaml",
        "analysis.safetensors",
        "edit.safetensors",
    )
    for _ in range(count):
        run, name = world.copy(world.run, "malformed-report"), draw.choice(names)
        before = (run / "report.html").read_bytes()
        path = run / name
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        code, printed = command("report", run)
        why = "traceback" if "Traceback" in printed else "" if code in (0, 2) else f"exit code {code}"
        if code == 2 and (run / "report.html").read_bytes() != before:
            why = "refused, and the page was changed"
        yield "run, page", name, why


def _manifest(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    run = world.copy(world.run, "malformed-manifest")
    zu.seal(run, deliver=lambda key: None)
    path = run / "manifest.json"
    sound = path.read_bytes()
    for _ in range(count):
        path.write_bytes(bytes_changed(sound, draw))
        code, printed = command("verify", path, world.edited)
        why = "traceback" if "Traceback" in printed else "" if code == 2 else f"exit code {code}"
        yield "manifest", "verify", why if path.read_bytes() != sound else ""


def _sealed(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    for _ in range(count):
        run, name = (
            world.copy(world.run, "malformed-seal"),
            draw.choice(("metrics.json", "facts.json", "edit.safetensors")),
        )
        path = run / name
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        before = contents(run)
        code, printed = command("seal", run)
        why = "traceback" if "Traceback" in printed else "" if code in (0, 2) else f"exit code {code}"
        if code == 2 and contents(run) != before:
            why = "refused, and the run was changed"
        if code == 0 and (run / "edit.safetensors").exists():
            why = "sealed, and the factors are there"
        yield "run, seal", name, why


def _cell(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    """A damaged cell of a bench is run anew, or its files are whole enough; the table is as it was."""
    folder = world.empty("malformed-bench")
    shared = {
        name: world.settings[name]
        for name in ("model", "data", "locator", "collector", "background", "guard")
    }
    grid = {
        **shared,
        "data": {name: value for name, value in shared["data"].items() if name != "forget"},
        "target": world.settings["target"],
        "evaluate": {"metrics": ["efficacy", "specificity", "answer_probability"], "completions": 0},
        "bench": {"name": "one", "folder": str(folder)},
        "seeds": [0],
        "forget": 2,
        "methods": [{"label": "MEMIT", "solver": world.settings["solver"]}],
    }
    config = folder / "bench.yaml"
    config.write_text(yaml.safe_dump(grid), encoding="utf-8")
    code, printed = command("bench", config)
    assert code == 0, printed
    table = (folder / "one" / "table.md").read_bytes()
    (cell,) = (folder / "one" / "cells").iterdir()
    files = sorted(str(path.relative_to(cell)) for path in cell.rglob("*") if path.is_file())
    for _ in range(count):
        name = draw.choice((*files, "metrics.json", "metrics.json"))
        if (cell / name).is_file():
            (cell / name).write_bytes(bytes_changed((cell / name).read_bytes(), draw))
        code, printed = command("bench", config)
        why = (
            "traceback"
            if "Traceback" in printed
            else ""
            if code == 0
            else f"exit code {code}: {printed[-160:]}"
        )
        if not why and (folder / "one" / "table.md").read_bytes() != table:
            why = "another table"
        yield "bench, cell", name, why


def _cached(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    """A damaged entry of the cache is computed anew."""
    folder, cache = world.empty("malformed-entries"), world.empty("malformed-entries-cache")
    config = world.config(folder)
    words = ("run", config, f"output.folder={folder}", "output.share_targets=true")
    here = patch.dict(os.environ, {"ZU_CACHE": str(cache)})
    with here:
        code, printed = command(*words, "output.name=first")
    assert code == 0, printed
    wanted = edit_of(folder / "first")
    for number in range(count):
        path = draw.choice(sorted(cache.rglob("*.safetensors")))
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        with here:
            code, printed = command(*words, f"output.name=run{number}")
        why = refused(code, printed) if code else ""
        if not why and edit_of(folder / f"run{number}") != wanted:
            why = "another edit"
        yield "cache, entry", path.parent.name, why


def edit_of(run: Path) -> dict[str, bytes]:
    """The bytes of an edit's tensors."""
    tensors = load_file(run / "edit.safetensors")
    return {name: tensor.contiguous().view(torch.uint8).numpy().tobytes() for name, tensor in tensors.items()}


MAKERS: tuple[Maker, ...] = (
    _edit_bytes,
    _edit_fields,
    _undo,
    _originals,
    _report,
    _manifest,
    _sealed,
    _cell,
    _cached,
)
