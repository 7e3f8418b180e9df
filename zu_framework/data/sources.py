"""Where a published data set lies: one file, a folder with the publisher's file names, or a data set of the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zu_framework import ConfigError, DataError
from zu_plugins.datasets.records import Record, read_csv, read_records

SUFFIXES = (".json", ".jsonl", ".csv")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class Part:
    """One table of a published set. files: its names in a folder, without suffix; config, split: those on the hub."""

    files: tuple[str, ...]
    config: str = ""
    split: str = ""


@dataclass(frozen=True)
class Source:
    """A path that the option `key` gave."""

    path: str
    key: str = "data.path"

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError(
                f"{self.key} is empty: give the file that holds the records, for example {self.key}=facts.json"
            )

    @property
    def file(self) -> Path:
        """The path on this machine."""
        return Path(self.path).expanduser()

    @property
    def on_hub(self) -> bool:
        """Whether the path names a data set of the hub, NAME/SET or NAME/SET:CONFIG, and nothing on this machine."""
        if self.file.exists() or self.file.suffix.lower() in SUFFIXES:
            return False
        return _HUB_ID.fullmatch(self.path) is not None and not self.path.startswith(".")

    @property
    def is_clone(self) -> bool:
        """Whether it is a folder that a data set of the hub was copied to: its card says where its tables are."""
        card = self.file / "README.md"
        try:
            return card.is_file() and re.search(r"^configs:", card.read_text("utf-8"), re.M) is not None
        except (OSError, UnicodeDecodeError):
            return False

    def read(self, part: Part) -> list[Record]:
        """The records of a part. Raises `DataError` where it is not there, or broken."""
        found = self.find(part)
        if found is None:
            if self.on_hub:
                raise DataError(
                    f"data set {self.path!r} has no split {part.split!r} of config {part.config!r}"
                )
            if not self.file.exists():
                raise DataError(f"{self.path}: no such file; {self.key} is relative to {Path.cwd()}")
            if not self.file.is_dir():
                raise DataError(
                    f"{self.path}: is a file; {self.key} is the folder that holds {part.files[0]}.json"
                )
            names = ", ".join(f"{name}.json" for name in part.files)
            raise DataError(f"{self.path}: the folder holds none of {names} (nor .jsonl or .csv)")
        return found

    def find(self, part: Part) -> list[Record] | None:
        """The records of a part, None where the set has no such part. Raises `DataError` where it is broken."""
        if self.on_hub:
            return hub_records(self.path, part.config, part.split)
        for name in part.files:
            for suffix in SUFFIXES:
                file = self.file / f"{name}{suffix}"
                if file.is_file():
                    return read_file(str(file), self.key)
        if self.is_clone:
            return hub_records(self.path, part.config, part.split)
        return None


def read_file(path: str, key: str) -> list[Record]:
    """The records of one file: a JSON list, JSON lines, or a csv whose first row names the columns."""
    return read_csv(path, key) if Path(path).suffix.lower() == ".csv" else read_records(path, key)


def hub_records(name: str, config: str, split: str) -> list[Record] | None:
    """The rows of a hub data set, or of a folder with a copy of one, through `datasets`; no code of its own is run.

    config: "" for the default one, or that of `NAME:CONFIG`; split: "" for the only one. None where there is no such
    config or split. Raises `ConfigError` without the package, `DataError` where the set cannot be opened.
    """
    try:
        from datasets import load_dataset
    except ImportError as cause:
        raise ConfigError(
            f"{name!r} is no file here, and a data set of the hub needs the package datasets: "
            "pip install 'zu_framework[hub]'"
        ) from cause
    local = Path(name).expanduser().is_dir()
    path, _, given = (name, "", "") if local else name.partition(":")
    try:
        # a folder is streamed, which leaves no second copy of it in the cache
        rows: Any = load_dataset(path, given or config or None, split=split or None, streaming=local)
    except ValueError as cause:
        if re.search(
            r"BuilderConfig .* not found|Unknown split|[Bb]ad split|Config name is missing", str(cause)
        ):
            if not config and not split:
                raise DataError(f"data set {name!r}: {cause}") from cause
            return None
        raise DataError(f"data set {name!r} cannot be opened: {cause}") from cause
    except Exception as cause:  # the hub's own errors are many, and share no base
        raise DataError(
            f"{name!r} is no file or folder here, and as a data set of the hub it cannot be opened: {cause}"
        ) from cause
    if not split:
        if len(rows) != 1:
            raise DataError(
                f"data set {name!r} has several splits: give data.split, one of {', '.join(rows)}"
            )
        split, rows = next(iter(rows.items()))
    where = ":".join(filter(None, (path, given or config)))
    records = [Record(row, f"{where}, split {split}, record {number}") for number, row in enumerate(rows, 1)]
    if not records:
        raise DataError(f"{where}, split {split}: holds no record")
    return records
