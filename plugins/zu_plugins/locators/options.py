"""Options of the locators; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative, positive


@dataclass
class FixedOptions:
    """The layers to edit."""

    layers: list[int] = field(
        default_factory=list,
        metadata={"help": "decoder layers whose MLP output projection is edited, from 0"},
    )
    allow_sinks: bool = field(
        default=False,
        metadata={"help": "edit layers that write attention sinks too: that destroys most models"},
    )

    def __post_init__(self) -> None:
        if len(set(self.layers)) != len(self.layers):
            raise ConfigError(f"layers {self.layers} names a layer twice", option="layers")


@dataclass
class AutoOptions:
    """Options of pricing layers.

    Weights are those of the key-space closed form.
    """

    width: int = field(default=3, metadata={"help": "layers that are edited, side by side"})
    others: int = field(
        default=60, metadata={"help": "other facts (to retain, else made-up ones) that are looked at"}
    )
    background_weight: float = field(default=1000.0, metadata={"help": "lb of the priced edit"})
    forget_weight: float = field(default=50.0, metadata={"help": "lf of the priced edit"})
    ridge: float = field(default=1.0, metadata={"help": "ridge of the priced edit"})

    def __post_init__(self) -> None:
        positive(self, "width", "others", "background_weight", "forget_weight", "ridge")


@dataclass
class TraceOptions:
    """How much noise, how often, and how many layers are picked."""

    width: int = field(default=3, metadata={"help": "layers that are edited: the peak and its neighbours"})
    noise: float = field(
        default=3.0,
        metadata={"help": "on the subject's embeddings, in standard deviations of their entries"},
    )
    samples: int = field(default=10, metadata={"help": "draws of the noise for each request"})
    window: int = field(
        default=0,
        metadata={
            "help": "layers whose MLP or attention outputs are restored together; 0: ROME's share, 10 of 48 layers"
        },
    )
    facts: int = field(default=50, metadata={"help": "requests that are traced, the first ones; 0: all"})

    def __post_init__(self) -> None:
        positive(self, "width", "noise", "samples")
        not_negative(self, "window", "facts")
