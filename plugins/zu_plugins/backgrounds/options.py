"""Options of the text background; nothing heavy here."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as option

from zu_framework import ConfigError


@dataclass
class TextOptions:
    """Where general text comes from: exactly one of `path` and `dataset`."""

    path: str = option(
        default="",
        metadata={
            "help": ".txt (a document a line, blank lines skipped), .jsonl (key `field`), or a folder of such files",
            "path": True,
        },
    )
    dataset: str = option(
        default="",
        metadata={"help": "hub data set, NAME or NAME:CONFIG, streamed; needs the extra `hub`"},
    )
    split: str = option(default="train", metadata={"help": "for dataset: which split"})
    field: str = option(
        default="text", metadata={"help": "for .jsonl and dataset: the key that holds the text"}
    )
    documents: int = option(default=100000, metadata={"help": "documents that are read at most"})

    def __post_init__(self) -> None:
        if self.documents < 1:
            raise ConfigError(f"documents must be at least 1, got {self.documents}", option="documents")
        if self.path and self.dataset:
            raise ConfigError("path and dataset are both given: keep one of them", option="path")
