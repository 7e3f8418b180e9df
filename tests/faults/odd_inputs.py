"""Malformed configurations, facts and texts."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from tests.faults.odd import ODD, checked
from tests.faults.world import Maker, Trial, World, bytes_changed
from zu_framework.testing import tiny_model


def _config_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-config")
    sound = world.config(folder).read_bytes()
    for _ in range(count):
        (folder / "config.yaml").write_bytes(bytes_changed(sound, draw))
        yield checked(world, "config, bytes", "config.yaml", folder / "config.yaml")


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
        # a text such as 1e5 is a number of steps that takes long
        run = (group, key) != ("target", "steps")
        yield checked(world, "config, values", f"{group}.{key}={value!r}", folder / "config.yaml", run=run)


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
        yield checked(world, "overrides", f"{key}={value}", config, f"{key}={value}")


def _facts_bytes(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-facts")
    sound = Path(world.settings["data"]["path"]).read_bytes()
    path = folder / "facts.jsonl"
    config = world.config(folder, data={**world.settings["data"], "path": str(path)})
    for _ in range(count):
        path.write_bytes(bytes_changed(sound, draw))
        yield checked(world, "facts, bytes", "facts.jsonl", config)


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
        yield checked(world, "facts, values", f"{key}={value!r}", config, "data.forget=all")


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
        yield checked(world, "facts, csv", "facts.csv", config)


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
        yield checked(world, "background", "text.jsonl", config)


def _long(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    folder = world.empty("malformed-long")
    model = folder / "model"
    tiny_model("gpt2").save(model)  # learned positions: there is no further one
    fact = {"prompt": "The capital of Quinania is", "subject": "Quinania", "answer": "Warsaw"}
    for number in range(count):
        much = "word " * draw.choice((20, 100, 2000))
        record: dict[str, Any] = dict(fact)
        text = "a line of text about the old bridge"
        where = ("prompt", "subject", "answer", "paraphrases", "text")[number % 5]
        if where == "text":
            text = much
        elif where == "paraphrases":
            record[where] = [much + fact["prompt"]]
        elif where == "answer":
            record["answer"] = much.strip()
        else:
            record["prompt"] = much + fact["prompt"]
            record["subject"] = (much + "Quinania") if where == "subject" else "Quinania"
            if where == "subject":
                record["prompt"] = f"The capital of {much}Quinania is"
        (folder / "facts.jsonl").write_text(json.dumps(record))
        (folder / "text.txt").write_text("\n".join([text] * 8))
        config = world.config(
            folder,
            model={"path": str(model), "device": "cpu"},
            data={"name": "facts", "path": str(folder / "facts.jsonl"), "forget": 1},
            background={"name": "text", "path": str(folder / "text.txt"), "max_tokens": 4096},
            evaluate={"metrics": draw.choice(([], ["efficacy"]))},
        )
        yield checked(world, "texts beyond the context", f"{where}, {len(much) // 5} words", config)


def _environment(world: World, draw: random.Random, count: int) -> Iterator[Trial]:
    config = world.config(world.empty("malformed-environment"))
    names = ("ZU_CACHE_GIB", "ZU_FACTORS_GIB", "ZU_DISABLE", "ZU_CACHE")
    a_file = str(world.folder / "text.txt")
    values = ("nan", "inf", "-1", "1e999", "", "x", "0", a_file, f"{a_file}/x", "\x1b[2J")
    for number in range(count):
        name, value = names[number % len(names)], draw.choice(values)
        if name == "ZU_CACHE" and value in ("nan", "inf", "-1", "1e999", "x", "0", "\x1b[2J"):
            value = f"{world.empty('malformed-cache')}/{value}"
        with patch.dict(os.environ, {name: value}):
            trial = checked(world, "environment", f"{name}={value!r}", config)
        yield trial  # not within: other kinds go on meanwhile


MAKERS: tuple[Maker, ...] = (
    _config_bytes,
    _config_values,
    _overrides,
    _facts_bytes,
    _facts_values,
    _csv,
    _background,
    _long,
    _environment,
)
