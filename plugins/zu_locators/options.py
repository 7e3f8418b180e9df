"""Options of the locators; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError


@dataclass
class FixedOptions:
    """The layers to edit."""

    layers: list[int] = field(
        default_factory=list,
        metadata={"help": "decoder layers whose MLP output projection is edited, from 0"},
    )

    def __post_init__(self) -> None:
        if len(set(self.layers)) != len(self.layers):
            raise ConfigError(f"layers {self.layers} names a layer twice")
