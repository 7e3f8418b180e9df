"""The safetensors files of a checkpoint folder: what their headers say, and whether every number is finite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zu_framework.errors import ModelError, broken_link

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LFS = b"version https://git-lfs"
# what quantised checkpoints keep in place of a weight, by the ends of the names
_PACKED = (
    ".qweight",
    ".qzeros",
    ".weight_packed",
    ".weight_scale_inv",
    ".SCB",
    ".absmax",
    ".quant_map",
    "_blocks",
)
_TRAINED = ("weight", "bias")
_FLOATS = ("F64", "F32", "F16", "BF16")
DAMAGED = "holds NaN or infinities: the checkpoint is damaged, download or copy it again"


@dataclass(frozen=True)
class TensorInfo:
    """What a file's header says of a tensor.

    Args:
        file: The name of the file.
        shape: As it is stored.
        dtype: As safetensors writes it: F32, BF16 ...
    """

    file: str
    shape: tuple[int, ...]
    dtype: str


def read_headers(folder: Path) -> dict[str, TensorInfo]:
    """Return what the headers of a checkpoint's files say of each tensor that is loaded.

    Args:
        folder: A checkpoint folder.

    Raises:
        ModelError: There are only pickles or no weights at all; a file that the index names is missing, damaged, or a
            Git LFS pointer; a tensor is not where the index says; weights are quantised.
    """
    if (folder / SINGLE).is_file():  # transformers looks for it first
        found = _header(folder / SINGLE)
    elif (folder / INDEX).is_file():
        found = _indexed(folder / INDEX)
    else:
        _raise_no_weights(folder)
    for name, tensor in found.items():
        if name.endswith(_PACKED) or (name.endswith("weight") and tensor.dtype not in _FLOATS):
            raise ModelError(
                f"{folder / tensor.file}: tensor {name!r} ({tensor.dtype}) is quantised: {UNQUANTISED}"
            )
    return found


UNQUANTISED = (
    "packed weights cannot be edited; take the checkpoint that it was made from, its GGUF file (which is dequantised "
    "when it is loaded), or save it dequantised (`model.dequantize()`, then `save_pretrained`)"
)


def check_shapes(
    folder: Path, found: Mapping[str, TensorInfo], expected: Mapping[str, Any], prefix: str
) -> None:
    """Compare the tensors of a checkpoint with those of its model, by name.

    Args:
        folder: For messages.
        found: Of `read_headers`.
        expected: The model's tensors, on any device, by name.
        prefix: The model's base prefix: a checkpoint's names may lack it, or carry one more.

    Raises:
        ModelError: A tensor has another shape than the config asks for; it is named.
    """
    for name, tensor in found.items():
        for known in _names(name, prefix):
            if known in expected:
                wanted = tuple(expected[known].shape)
                if wanted != tensor.shape:
                    raise ModelError(
                        f"{folder / tensor.file}: tensor {name!r} has shape {_shown(tensor.shape)}, config.json asks "
                        f"for {_shown(wanted)}: they belong to two models, or config.json was changed"
                    )
                break


def check_complete(
    folder: Path, found: Mapping[str, TensorInfo], needed: Iterable[Sequence[str]], prefix: str
) -> None:
    """Check that a checkpoint holds every parameter of its model.

    Args:
        folder: For messages.
        found: Of `read_headers`.
        needed: The names of each parameter, any of which will do.
        prefix: As `check_shapes` takes it.

    Raises:
        ModelError: Parameters are missing; the first is named.
    """
    there = {known for name in found for known in _names(name, prefix)}
    lacking = sorted(names[0] for names in needed if there.isdisjoint(names))
    if lacking:
        raise ModelError(
            f"{folder}: the safetensors lack {len(lacking)} tensors of the model, {lacking[0]!r} first: copy the "
            "checkpoint again, or config.json was changed"
        )


def _names(name: str, prefix: str) -> tuple[str, ...]:
    """The names that a model may know a checkpoint's tensor by."""
    return name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")


def check_values(folder: Path, found: Mapping[str, TensorInfo]) -> None:
    """Read every weight once, a tensor at a time.

    Args:
        folder: A checkpoint folder.
        found: Of `read_headers`.

    Raises:
        ModelError: A tensor holds NaN, or a weight an infinity; file and tensor are named.
    """
    for file in sorted({tensor.file for tensor in found.values()}):
        with safe_open(folder / file, "pt") as opened:
            for name in (name for name, tensor in found.items() if tensor.file == file):
                if not is_sound(opened.get_tensor(name), buffer=not name.endswith(_TRAINED)):
                    raise ModelError(f"{folder / file}: weight {name!r} {DAMAGED}")


def is_sound(values: Tensor, *, buffer: bool = False) -> bool:
    """Say whether a tensor holds finite numbers alone; nothing of its size is made.

    Args:
        values: Of any shape and dtype.
        buffer: Whether it may hold infinities, as a mask does.

    Returns:
        False where it holds NaN, or an infinity that it may not hold.
    """
    if not values.is_floating_point() or not values.numel():
        return True
    low, high = torch.aminmax(values)  # NaN comes through
    return not bool(low.isnan()) if buffer else bool(low.isfinite() & high.isfinite())


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _raise_no_weights(folder: Path) -> NoReturn:
    for name in (SINGLE, INDEX):
        if away := broken_link(folder / name):
            raise ModelError(f"{folder / name}: {away}: download the checkpoint again")
    others = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    if others:
        raise ModelError(
            f"{folder}: neither {SINGLE} nor {INDEX}, but {others[0].name}: transformers would not find its weights; "
            f"rename it to {SINGLE}, or copy the index as well"
        )
    pickles = [file for end in ("bin", "pt", "pth", "ckpt") for file in folder.glob(f"*.{end}")]
    if pickles:
        raise ModelError(
            f"{folder}: only pickled weights ({pickles[0].name}), which are never loaded: convert the checkpoint with "
            "save_pretrained in a place that you trust, then use the safetensors"
        )
    raise ModelError(f"{folder}: no *.safetensors file: the weights are missing")


def _header(file: Path) -> dict[str, TensorInfo]:
    try:
        with safe_open(file, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in list(opened.keys())}
            return {
                name: TensorInfo(file.name, tuple(part.get_shape()), str(part.get_dtype()))
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as cause:
        try:
            with file.open("rb") as raw:
                pointer = raw.read(len(_LFS)) == _LFS
        except OSError as second:
            raise ModelError(f"{file}: cannot be read: {second.strerror}") from second
        raise ModelError(
            f"{file}: only a Git LFS pointer, not the weights: run `git lfs pull` in that folder"
            if pointer
            else f"{file}: damaged or no safetensors file: {cause}; download or copy it again"
        ) from cause


def _indexed(index: Path) -> dict[str, TensorInfo]:
    """The tensors that an index names, each in the file where it must be."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        places = {str(name): str(file) for name, file in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as cause:
        raise ModelError(
            f"{index}: no index of weights ({type(cause).__name__}: {cause}); copy it again"
        ) from cause
    files: dict[str, dict[str, TensorInfo]] = {}
    for name, file in places.items():
        if Path(file).name != file:
            raise ModelError(f"{index}: {name!r} lies in {file!r}, outside the folder")
        if file not in files:
            if not (index.parent / file).is_file():
                raise ModelError(
                    f"{index.parent / file}: missing; {INDEX} says that it holds {name!r}: copy it here"
                )
            files[file] = _header(index.parent / file)
        if name not in files[file]:
            raise ModelError(
                f"{index.parent / file}: holds no tensor {name!r}, as {INDEX} says: copy both again"
            )
    return {name: files[file][name] for name, file in places.items()}
