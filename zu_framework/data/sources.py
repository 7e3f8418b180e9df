"""Where a published data set lies: one file, a folder with the publisher's file names, or a data set of the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zu_framework.data.files import READERS, read_file, read_json
from zu_framework.data.records import Record
from zu_framework.data.text import path_of
from zu_framework.errors import ConfigError, DataError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class Part:
    """One table of a published set.

    Args:
        files: Its names in a folder, without ending.
        config: Its config on the hub.
        split: Its split there.
    """

    files: tuple[str, ...]
    config: str = ""
    split: str = ""


@dataclass(frozen=True)
class Source:
    """Where a published set lies: a file, a folder with the publisher's file names, or a name on the hub.

    Args:
        path: As the user gave it.
        key: The option that gave it, for messages.
    """

    path: str
    key: str = "data.path"

    def __post_init__(self) -> None:
        path_of(self.path, self.key)

    @property
    def file(self) -> Path:
        """The path on this machine."""
        return path_of(self.path, self.key)

    @property
    def on_hub(self) -> bool:
        """Whether the path names a data set of the hub, NAME/SET or NAME/SET:CONFIG, and nothing on this machine.

        A name whose first part is a folder here is a mistyped path.
        """
        if self.file.exists() or self.file.suffix.lower() in READERS:
            return False
        if self.path.count("/") == 1 and self.file.parent.is_dir():
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
        """Return the records of a part that must be there.

        Args:
            part: Which.

        Returns:
            Its records, at least one.

        Raises:
            DataError: It is not there, or broken.
        """
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
            raise DataError(f"{self.path}: the folder holds none of {names} (nor .jsonl, .csv, .parquet)")
        return found

    def find(self, part: Part) -> list[Record] | None:
        """Return the records of a part that may be missing.

        Args:
            part: Which.

        Returns:
            Its records; None where the set has no such part.
        """
        if self.on_hub:
            return hub_records(self.path, part.config, part.split)
        for name in part.files:
            for suffix in READERS:
                file = self.file / f"{name}{suffix}"
                if file.is_file():
                    return read_file(str(file), self.key)
        if self.is_clone:
            return hub_records(self.path, part.config, part.split)
        return None


def read_records(path: str, names: tuple[str, ...], split: str = "", key: str = "data.path") -> list[Record]:
    """Return the records of a set that is one list.

    Args:
        path: A file, a folder that holds one, or a name on the hub.
        names: What its file may be called in a folder, without ending.
        split: Of a hub data set with several: which one.
        key: The option that gave the path, for messages.

    Returns:
        A record for each object or row.

    Raises:
        ConfigError: The path is empty, or a package is missing.
        DataError: There is no such file, or it is broken.
    """
    source = Source(path, key)
    if source.on_hub:
        found = hub_records(path, "", split)
        if found is None:
            raise DataError(f"data set {path!r} has no split {split!r}: mend data.split")
        return found
    if source.file.is_dir():
        return source.read(Part(names, split=split))
    is_json = source.file.suffix.lower() == ".json"
    return read_json(path, key, alone=False) if is_json else read_file(path, key)


def hub_records(name: str, config: str, split: str) -> list[Record] | None:
    """Return the rows of a hub data set, or of a folder with a copy of one, through the package `datasets`.

    No code that the set brings is run.

    Args:
        name: NAME/SET, NAME/SET:CONFIG, or a folder.
        config: "" for the default one, or that of `name`.
        split: "" for the only one.

    Returns:
        A record for each row; None where there is no such config or split.

    Raises:
        ConfigError: The package is missing.
        DataError: The set cannot be opened, or holds no record.
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
