"""The thief: what is published, and what a seal leaves, brings no fact back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import zu_framework as zu
from tests.faults.world import Trial, World
from tests.store.edits import contents, stored
from zu_framework.store.records import read_edit

SOLVERS = ("memit", "zerounlearn-local", "alphaedit", "ft")


def thief(world: World, count: int) -> Iterator[Trial]:
    """Half the trials on what is published, half on what a seal leaves."""
    draw = random.Random(0)
    for number in range(count // 2):
        solver = SOLVERS[number % len(SOLVERS)]
        folder = world.empty("thief")
        options = {"steps": 1} if solver == "ft" else {"null_rank": 8} if solver == "alphaedit" else {}
        output = {"folder": str(folder), "name": "run", "model": True, "share_targets": number % 2 == 0}
        settings = {
            **world.settings,
            "seed": draw.randrange(1000),
            "model": {**world.settings["model"], "dtype": ("float32", "bfloat16")[number % 2]},
            "target": {"name": "fixed", "value": "zero"},  # every edit then changes something to look for
            "solver": {"name": solver, **options},
            "output": output,
        }
        run = zu.run(settings).folder
        zu.apply(run, world.model, folder / "published")
        secret = _secret(run)
        yield "published", f"{solver}, seed {settings['seed']}", _published(world, run, folder, secret)
        if number % 2:
            zu.audit(run, {"audit": {"attacks": ["quantize", "sample"]}})
        zu.seal(run, deliver=lambda key: None)
        yield "sealed", f"{solver}, seed {settings['seed']}", _sealed(run, folder, secret)


def _secret(run: Path) -> list[str]:
    facts = json.loads((run / "facts.json").read_text("utf-8"))["facts"]
    return [fact[name] for fact in facts if fact["set"] == "forget" for name in ("prompt", "answer")]


def _published(world: World, run: Path, folder: Path, secret: list[str]) -> str:
    digest = str(read_edit(run / "edit.safetensors").about["request_digest"])
    for published in (folder / "published", run / "model"):
        if stored(published).keys() != stored(world.model).keys():
            return "a tensor beyond the model's own"
        if {*contents(published)} - {*contents(world.model)} != {"ledger/ledger.json"}:
            return "a file beyond the model's own and ledger.json"
        for name, raw in contents(published).items():
            text = raw.decode("utf-8", "replace")
            if not name.startswith("tokenizer") and any(word in text for word in (*secret, digest[:12])):
                return f"{name} holds a word of a fact, or what follows from one"
        try:
            zu.revert(published, published, folder / "out")
            return "the published folder reverts itself"
        except zu.ZuError:
            pass
    return ""


def _sealed(run: Path, folder: Path, secret: list[str]) -> str:
    for name, raw in contents(run).items():
        if name.startswith("model/"):
            continue
        if name.endswith((".safetensors", ".png")):
            return f"{name} was left"
        if any(word in raw.decode("utf-8", "replace") for word in secret):
            return f"{name} holds a word of a fact"
    for door in (zu.revert, zu.apply):
        try:
            door(run, run / "model", folder / "out")
            return "a sealed run still works"
        except zu.RunFolderError as told:
            if "was sealed" not in str(told):
                return f"it does not say why: {told}"
    try:
        zu.verify(run / "manifest.json", folder / "published")
    except zu.ZuError as told:
        return f"its manifest does not verify: {told}"
    return ""
