"""What this plugin offers: three data sets, and the demo world's general text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from zu_framework import BackgroundSpec, ConfigError, DatasetSpec, Register, hookimpl

FORGET = "facts to forget, drawn by the seed; 0 takes them all, in file order"


@dataclass
class CounterFactOptions:
    """A local file in CounterFact's own schema, and how facts are drawn from it."""

    path: str = field(default="", metadata={"help": "JSON file: a list of records as ROME published them"})
    protocol: Literal["zerounlearn", "all"] = field(
        default="zerounlearn",
        metadata={
            "help": "zerounlearn: forget facts come from the second half of the file, retained ones from the first; "
            "all: forget facts come from the whole file, retained ones from what they leave"
        },
    )
    # 50: how many the published numbers are for (arXiv 2605.18879)
    forget: int = field(default=50, metadata={"help": FORGET})
    retain: int = field(
        default=0, metadata={"help": "facts to keep, drawn by the seed; 0 takes all there are"}
    )


@dataclass
class JsonLinesOptions:
    """One's own facts, one JSON object a line."""

    path: str = field(
        default="",
        metadata={
            "help": "JSON lines: prompt, answer; optional subject, paraphrases, neighbours, target, id"
        },
    )
    retain_path: str = field(
        default="",
        metadata={
            "help": "JSON lines of facts to keep; without it, what the forget draw leaves of `path` is kept"
        },
    )
    forget: int = field(default=0, metadata={"help": FORGET})
    retain: int = field(
        default=0, metadata={"help": "facts to keep, drawn by the seed; 0 takes all there are"}
    )


@dataclass
class DemoOptions:
    """The demo world, under the protocol `zerounlearn`; with seed 0 the ten facts are those its twin never saw."""

    forget: int = field(default=10, metadata={"help": FORGET})
    retain: int = field(
        default=0, metadata={"help": "facts to keep, drawn by the seed; 0 takes all there are"}
    )


@dataclass
class DemoTextOptions:
    """The general text that belongs to the demo world."""

    documents: int = field(default=1000, metadata={"help": "documents that are read at most"})
    max_tokens: int = field(default=128, metadata={"help": "tokens of a document that are read at most"})

    def __post_init__(self) -> None:
        for name in ("documents", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


@hookimpl
def zu_register_datasets(register: Register[DatasetSpec]) -> None:
    """Offer the data sets."""
    register(
        DatasetSpec(
            "counterfact",
            target="zu_datasets.counterfact:load",
            summary="CounterFact records from a local file, in the published schema",
            options=CounterFactOptions,
        )
    )
    register(
        DatasetSpec(
            "jsonl",
            target="zu_datasets.jsonl:load",
            summary="Your own facts, one JSON object a line",
            options=JsonLinesOptions,
        )
    )
    register(
        DatasetSpec(
            "demo",
            target="zu_datasets.demo:load",
            summary="The invented facts that the embedded demo model knows",
            options=DemoOptions,
        )
    )


@hookimpl
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """Offer the demo world's general text."""
    register(
        BackgroundSpec(
            "demo",
            target="zu_datasets.demo:documents",
            summary="General text of the embedded demo world",
            options=DemoTextOptions,
        )
    )
