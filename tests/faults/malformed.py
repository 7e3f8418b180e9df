"""Malformed inputs through the command line: refused in a sentence, or harmless and the result right."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zu_framework as zu
from tests.faults.world import Maker, Trial, World, bytes_changed, command, rotated
from tests.store.edits import contents, rewrite, run_on, stored

WORDS = ("", "x", "\0", "\ud800", "~nosuchuser", "../x", "${oc.env:NONE}", "1e5", "\x1b[31m")
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e400,
    float("nan"),
    [],
    [[]],
    {},
    {"a": 1},
    [1, "x"],
    *WORDS,
)


def malformed(world: World, count: int) -> Iterator[Trial]:
    """Every kind in turn."""
    yield from rotated(list(KINDS), world, count)


def _checked(kind: str, what: str, *words: object) -> Trial:
    """`zu check`: a sentence and exit code 2, or nothing was wrong with it."""
    code, printed = command("check", *words)
    if "Traceback" in printed:
        return kind, what, f"traceback: {printed.strip().splitlines()[-2][:160]}"
    return kind, what, "" if code in (0, 2) else f"exit code {code}"


def _written(kind: str, what: str, out: Path, wanted: dict[str, bytes], *words: object) -> Trial:
    """A command that writes a folder: the right one, or none and exit code 2."""
    shutil.rmtree(out, ignore_errors=True)
    code, printed = command(*words)
    if "Traceback" in printed:
        return kind, what, f"traceback: {printed.strip().splitlines()[-2][:160]}"
    if code == 0:
        held = out.is_dir() and contents(out) == wanted
        return kind, what, "" if held else "exit code 0, and what was written is wrong"
    if out.exists():
        return kind, what, "refused, and something was written"
    return kind, what, "" if code == 2 else f"exit code {code}"


def _config_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-config")
    sound = world.config(folder).read_bytes()
    for _ in range(count):
        (folder / "config.yaml").write_bytes(bytes_changed(sound, draw))
        yield _checked("config, bytes", "config.yaml", folder / "config.yaml")


def _config_values(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-values")
    for _ in range(count):
        tree = json.loads(json.dumps(world.settings))
        group = draw.choice(sorted(tree))
        key, value = draw.choice([*sorted(tree[group]), "new"]), draw.choice(ODD)
        if draw.random() < 0.2:
            tree[group] = value
        else:
            tree[group][key] = value
        (folder / "config.yaml").write_bytes(_yaml(tree))
        yield _checked("config, values", f"{group}.{key}={value!r}", folder / "config.yaml")


def _yaml(tree: Any) -> bytes:
    try:
        return yaml.safe_dump(tree).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return json.dumps(tree).encode()


def _overrides(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-overrides")
    config = world.config(folder)
    keys = [
        "seed",
        "model.dtype",
        "model.device",
        "locator.layers",
        "locator.layers.0",
        "data.forget",
        "then",
        "=",
        "output.name",
        "no.such",
    ]
    keys += ["evaluate.options", "background.max_tokens", "target", "solver.group_size", ""]
    values = (
        "[",
        "{a",
        "18446744073709551616",
        "mps",
        "[[[[1]]]]",
        "",
        "&a [*a]",
        "null",
        "1e309",
        "-0",
        "a\tb",
    )
    for _ in range(count):
        key, value = draw.choice(keys), draw.choice(values)
        yield _checked("overrides", f"{key}={value}", config, f"{key}={value}")


def _facts_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-facts")
    sound = Path(world.settings["data"]["path"]).read_bytes()
    path = folder / "facts.jsonl"
    config = world.config(folder, data={**world.settings["data"], "path": str(path)})
    for _ in range(count):
        path.write_bytes(bytes_changed(sound, draw))
        yield _checked("facts, bytes", "facts.jsonl", config)


def _facts_values(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-records")
    path = folder / "facts.jsonl"
    config = world.config(folder, data={**world.settings["data"], "path": str(path)})
    lines = [
        json.loads(line) for line in Path(world.settings["data"]["path"]).read_text("utf-8").splitlines()
    ]
    for _ in range(count):
        record = dict(draw.choice(lines))
        key, value = draw.choice([*record, "id", "neighbours", "ansver"]), draw.choice(ODD)
        record[key] = value
        path.write_text("\n".join(json.dumps(line) for line in (*lines, record)), encoding="utf-8")
        yield _checked("facts, values", f"{key}={value!r}", config, "data.forget=all")


def _csv(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-csv")
    path = folder / "facts.csv"
    config = world.config(folder, data={**world.settings["data"], "path": str(path)})
    sound = (
        b"prompt,subject,answer\nThe capital of Quinania is,Quinania,Warsaw\nIrene works as a,Irene,teacher\n"
    )
    deep = b'prompt,subject,answer,paraphrases\na b,b,c,"' + b"[" * 20000 + b'"\n'
    for _ in range(count):
        path.write_bytes(deep if draw.random() < 0.1 else bytes_changed(sound, draw))
        yield _checked("facts, csv", "facts.csv", config)


def _background(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-background")
    path = folder / "text.jsonl"
    config = world.config(folder, background={"name": "text", "path": str(path)})
    lines = (
        b'{"text": "\\ud800"}',
        b'{"text": ' + b"9" * 5000 + b"}",
        b"[" * 9000,
        b'{"text": null}',
        b"\xff\xfe",
        b"{}",
        b"",
    )
    sound = b'{"text": "a line of text about the old bridge"}\n' * 5
    for number in range(count):
        path.write_bytes(draw.choice(lines) + b"\n" if number % 2 else bytes_changed(sound, draw))
        yield _checked("background", "text.jsonl", config)


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
        yield _checked("model, config.json", f"{key}={value!r}", config)


def _model_weights(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.edited)
    for _ in range(count):
        model = world.copy(world.model, "malformed-weights")
        raw = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(bytes_changed(raw, draw))
        yield _written("model, weights", "model.safetensors", out, wanted, "apply", world.run, model, out)


def _wild_weights(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    runs = world.folder / "copies" / "malformed-runs"
    folder = world.empty("malformed-wild")
    for _ in range(count):
        model = world.copy(world.model, "malformed-nan")
        tensors = stored(model)
        name, value = draw.choice(sorted(tensors)), draw.choice((float("nan"), float("inf")))
        tensors[name].view(-1)[draw.randrange(tensors[name].numel())] = value
        rewrite(model, tensors)
        config = world.config(folder, model={"path": str(model), "device": "cpu"})
        shutil.rmtree(runs, ignore_errors=True)
        code, printed = command("run", config, f"output.folder={runs}", "output.name=x")
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
        yield _checked("model, tokenizer.json", "tokenizer.json", config)


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
        yield _written("model, index", path.name, out, wanted, "apply", run, model, out)


def _edit_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted, restored = contents(world.edited), contents(world.model)
    for number in range(count):
        run = world.copy(world.run, "malformed-edit")
        path = run / "edit.safetensors"
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        words = ("apply", run, world.model) if number % 2 else ("revert", run, world.edited)
        right = wanted if number % 2 else restored
        yield _written("run, edit.safetensors", words[0], out, right, *words, out)


def _edit_fields(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.edited)
    for _ in range(count):
        run = world.copy(world.run, "malformed-fields")
        path = run / "edit.safetensors"
        tensors = load_file(path)
        with safe_open(path, "pt") as opened:
            about = json.loads(opened.metadata()["zu"])
        where, value = _odd(about, draw)
        if draw.random() < 0.3:
            name = draw.choice(sorted(tensors))
            tensors[name] = draw.choice((tensors[name] * 2, tensors[name] * float("nan"), torch.zeros(1)))
            where = f"{where} and {name}"
        save_file(tensors, path, metadata={"zu": json.dumps(about)})
        yield _written("run, fields", f"{where}={value!r}", out, wanted, "apply", run, world.model, out)


def _odd(tree: Any, draw: random.Random) -> tuple[str, Any]:
    """Put an odd value somewhere in a tree; where, and which."""
    value, path = draw.choice(ODD), ""
    while True:
        keys = sorted(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = draw.choice(keys)
        path = f"{path}.{key}"
        below = tree[key]
        if isinstance(below, dict | list) and below and draw.random() < 0.75:
            tree = below
            continue
        tree[key] = value
        return path, value


def _undo(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    out = world.folder / "copies" / "malformed-out"
    wanted = contents(world.model)
    for _ in range(count):
        run = world.copy(world.run, "malformed-undo")
        path = run / "undo.safetensors"
        path.write_bytes(bytes_changed(path.read_bytes(), draw))
        yield _written("run, undo.safetensors", "revert", out, wanted, "revert", run, world.edited, out)


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
        yield _written("run, originals", name, out, wanted, "revert", run, folder / "edited", out)


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
            _odd(tree, draw)
            path.write_text(json.dumps(tree), encoding="utf-8")
        yield _written("model, ledger.json", "revert", out, wanted, "revert", world.run, model, out)


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


INPUTS: tuple[Maker, ...] = (
    _config_bytes,
    _config_values,
    _overrides,
    _facts_bytes,
    _facts_values,
    _csv,
    _background,
)
MODELS: tuple[Maker, ...] = (_model_config, _model_weights, _wild_weights, _tokenizer, _index, _ledger)
RUNS: tuple[Maker, ...] = (_edit_bytes, _edit_fields, _undo, _originals, _report, _manifest, _sealed)
KINDS = (*INPUTS, *MODELS, *RUNS)
