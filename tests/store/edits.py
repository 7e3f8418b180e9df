"""Edits made by hand, in milliseconds, and checkpoints as people have them: what tests of the store begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zu_framework import LanguageModel, Update
from zu_framework.engine.edit import Edit
from zu_framework.engine.writing import Writer
from zu_framework.problem import Site
from zu_framework.store.about import versions

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def random_edit(
    lm: LanguageModel,
    sites: Sequence[Site],
    *,
    model: str = "",
    seed: int = 0,
    size: float = 0.05,
    dense: bool = False,
) -> Edit:
    """Write a random change at each site, of rank 2 or, as fine-tuning does, dense."""
    generator = torch.Generator().manual_seed(seed)
    writer = Writer(lm)
    for site in sites:
        rows, columns = lm.weight(site).shape
        left = size * torch.randn(rows, 2, generator=generator)
        right = torch.randn(2, columns, generator=generator)
        writer.write(site, Update(dense=left @ right) if dense else Update(left=left, right=right))
    about = {
        "model": model,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "versions": dict(versions()),
        "requests": 1,
        "request_digest": "",
        "solver": "by hand",
        "seed": seed,
    }
    return Edit(lm, (), {}, about, writer)


def run_on(
    folder: Path,
    run: Path,
    dtype: str = "auto",
    layers: Sequence[int] = (0, 2),
    *,
    seed: int = 0,
    undo: bool = True,
    dense: bool = False,
) -> Path:
    """A run folder of a random edit, made on a checkpoint; the run's dtype may differ from the files'."""
    lm = LanguageModel.from_pretrained(str(folder), device="cpu", dtype=NAMES.get(dtype, dtype))
    sites = [lm.site(layer) for layer in layers]
    edit = random_edit(lm, sites, model=str(folder), seed=seed, dense=dense)
    return edit.save(run, undo=undo)


def stored(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint's safetensors."""
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def rewrite(folder: Path, tensors: Mapping[str, Tensor], shards: int = 1) -> None:
    """Replace a checkpoint's weights, in as many shards."""
    for file in (*folder.glob("*.safetensors"), *folder.glob("*.index.json")):
        file.unlink()
    if shards == 1:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, folder / file, metadata={"format": "pt", "shard": str(number)})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def differing(ours: Path, theirs: Path) -> set[str]:
    """Names of the tensors whose bytes differ between two checkpoints."""
    a, b = stored(ours), stored(theirs)
    assert a.keys() == b.keys()
    return {
        n
        for n in a
        if a[n].dtype != b[n].dtype or not torch.equal(a[n].view(torch.uint8), b[n].view(torch.uint8))
    }


def as_dtype(folder: Path, name: str) -> None:
    """Store the weights in a dtype; mixed: norms in f32, one edited weight in f32, the rest in bf16."""
    tensors = stored(folder)
    wide = {n for n in tensors if "norm" in n or n.startswith("model.layers.2.mlp.down_proj")}
    for key, tensor in tensors.items():
        kept = torch.float32 if name == "mixed" and key in wide else DTYPES.get(name, torch.bfloat16)
        tensors[key] = tensor.to(kept)
    rewrite(folder, tensors)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = {"f32": "float32", "f16": "float16"}.get(name, "bfloat16")
    (folder / "config.json").write_text(json.dumps(config))
