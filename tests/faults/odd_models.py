"""Malformed checkpoints."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator

import zu_framework as zu
from tests.faults.odd import ODD, checked, put_odd, written
from tests.faults.world import Maker, Trial, World, bytes_changed, command
from tests.store.edits import contents, rewrite, run_on, stored


def _model_config(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    model = world.copy(world.model, "malformed-model")
    sound = (model / "config.json").read_bytes()
    folder = world.empty("malformed-model-config")
    config = world.config(folder, model={"path": str(model), "device": "cpu"})
    for _ in range(count):
        entries = json.loads(sound)
        key, value = draw.choice([*sorted(entries), "auto_map", "quantization_config"]), draw.choice(ODD)
        raw = (
            json.dumps({**entries, key: value}).encode()
            if draw.random() < 0.6
            else bytes_changed(sound, draw)
        )
        (model / "config.json").write_bytes(raw)
        yield checked(world, "model, config.json", f"{key}={value!r}", config)


def _model_weights(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.edited)
    for _ in range(count):
        model = world.copy(world.model, "malformed-weights")
        raw = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(bytes_changed(raw, draw))
        yield written("model, weights", "model.safetensors", out, wanted, "apply", world.run, model, out)


def _wild_weights(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    runs = world.folder / "copies" / "malformed-runs"
    folder = world.empty("malformed-wild")
    for number in range(count):
        model = world.copy(world.model, "malformed-nan")
        tensors = stored(model)
        name, value = draw.choice(sorted(tensors)), draw.choice((float("nan"), float("inf")))
        tensors[name].view(-1)[draw.randrange(tensors[name].numel())] = value
        rewrite(model, tensors)
        config = world.config(folder, model={"path": str(model), "device": "cpu"})
        shutil.rmtree(runs, ignore_errors=True)
        words = ("run", config, f"output.folder={runs}", "output.name=x")
        code, printed = command(*(words if number % 2 else ("check", config)))
        why = (
            "traceback"
            if "Traceback" in printed
            else ""
            if code == 2 and name in printed
            else f"exit {code}, not named"
        )
        yield (
            "model, NaN and inf",
            f"{name} {value}",
            why or ("something was written" if (runs / "x").exists() else ""),
        )


def _tokenizer(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    model = world.copy(world.model, "malformed-tokenizer")
    sound = (model / "tokenizer.json").read_bytes()
    config = world.config(world.empty("malformed-tok"), model={"path": str(model), "device": "cpu"})
    for _ in range(count):
        (model / "tokenizer.json").write_bytes(bytes_changed(sound, draw))
        yield checked(world, "model, tokenizer.json", "tokenizer.json", config)


def _index(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    model = world.copy(world.model, "malformed-index")
    rewrite(model, stored(model), shards=3)
    run = run_on(model, world.empty("malformed-index-run") / "run")
    zu.apply(run, model, world.empty("malformed-index-edited") / "x")
    path = model / "model.safetensors.index.json"
    sound = path.read_bytes()
    good = contents(world.folder / "copies" / "malformed-index-edited" / "x")
    for _ in range(count):
        path.write_bytes(bytes_changed(sound, draw))
        wanted = {**good, path.name: path.read_bytes()}
        yield written("model, index", path.name, out, wanted, "apply", run, model, out)


def _ledger(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.model)
    for number in range(count):
        model = world.copy(world.edited, "malformed-ledger")
        path = model / "ledger" / "ledger.json"
        if number % 2:
            path.write_bytes(bytes_changed(path.read_bytes(), draw))
        else:
            tree = json.loads(path.read_text("utf-8"))
            put_odd(tree, draw)
            path.write_text(json.dumps(tree), encoding="utf-8")
        yield written("model, ledger.json", "revert", out, wanted, "revert", world.run, model, out)


def _vocabulary(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    """A tokenizer that knows more tokens than the embedding has rows, or the other way round."""
    folder = world.empty("malformed-vocabulary")
    for _ in range(count):
        model = world.copy(world.model, "malformed-vocabulary-model")
        path = model / "tokenizer.json"
        tokens = json.loads(path.read_text("utf-8"))
        size = len(tokens["model"]["vocab"])
        beyond = size + draw.choice((0, 1, 1000, 2**31, 2**40))
        words = ["Quinania", "Warsaw", "the", "new"]
        word = draw.choice(words)
        if draw.random() < 0.5:
            tokens["model"]["vocab"][word] = beyond
        else:
            added = {"id": beyond, "content": word, "special": draw.random() < 0.5}
            plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            tokens.setdefault("added_tokens", []).append({**added, **plain})
        path.write_text(json.dumps(tokens), encoding="utf-8")
        config = world.config(folder, model={"path": str(model), "device": "cpu"})
        yield checked(world, "model, vocabulary", f"{word!r} is token {beyond} of {size}", config)


MAKERS: tuple[Maker, ...] = (
    _model_config,
    _model_weights,
    _wild_weights,
    _tokenizer,
    _vocabulary,
    _index,
    _ledger,
)
