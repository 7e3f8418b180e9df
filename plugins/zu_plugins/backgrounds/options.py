"""Options of the text background; nothing heavy here."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as option

from zu_framework import ConfigError
from zu_framework.options import not_negative, positive

_WORDS = (
    "The In A He She It They When After During On At For If We I There This Many Some As Before While His Her Their "
    "People First To What How Water History Music Science Today Since From"
)
STARTS = [*_WORDS.split(), "One of the", "According to"]


@dataclass
class SelfOptions:
    """How much text the model writes, and how each piece begins."""

    documents: int = option(default=80, metadata={"help": "pieces of text"})
    length: int = option(default=64, metadata={"help": "tokens of a piece at most"})
    starts: list[str] = option(
        default_factory=lambda: list(STARTS), metadata={"help": "what the pieces begin with, in turn"}
    )
    seed: int = option(default=0, metadata={"help": "decides the draws, apart from the run's own seed"})

    def __post_init__(self) -> None:
        positive(self, "documents", "length")
        not_negative(self, "seed")
        if not self.starts:
            raise ConfigError("starts is empty: give words that the pieces begin with", option="starts")


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
