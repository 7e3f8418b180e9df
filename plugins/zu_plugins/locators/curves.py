"""Effects by layer and token class, averaged over facts; the layers that they point at; the file that keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zu_framework import ConfigError
from zu_plugins.locators.facts import CLASSES, SUBJECT_LAST, Fact
from zu_plugins.locators.parts import MLP


@dataclass(frozen=True)
class Curves:
    """Effects by kind, (layers, classes) float64: means over facts and their standard errors; NaN: nothing there.

    clean, corrupted: mean probability of the answer without and with the noise. facts: how many were traced.
    """

    name: str
    mean: Mapping[str, Tensor]
    error: Mapping[str, Tensor]
    clean: float
    corrupted: float
    facts: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def site_curve(self) -> dict[int, float]:
        """MLP effect at the subject's last token, by layer, where the layer offers a site."""
        values = self.mean[MLP][:, SUBJECT_LAST].tolist()
        return {layer: value for layer, value in enumerate(values) if not math.isnan(value)}

    @property
    def peak(self) -> int:
        """The layer of the largest MLP effect at the subject's last token; the shallower of two."""
        return max(self.site_curve, key=self.site_curve.__getitem__)

    def picked(self, width: int, without: Collection[int] = ()) -> list[int]:
        """`width` layers around the peak, of those that offer a site; at an edge the nearest ones inside.

        without: layers that are left out (they write attention sinks); the peak is then that of the others.
        """
        curve = {layer: value for layer, value in self.site_curve.items() if layer not in without}
        layers = sorted(curve)
        if width > len(layers):
            raise ConfigError(
                f"locator.width is {width}, but only {len(layers)} layers of this model offer a site that writes no "
                "attention sink: lower it"
            )
        peak = max(curve, key=curve.__getitem__)
        start = min(max(layers.index(peak) - (width - 1) // 2, 0), len(layers) - width)
        return layers[start : start + width]

    def save(self, path: Path, picked: Sequence[int]) -> None:
        """Write the curves as JSON; where nothing was tried there is null."""

        def plain(by_kind: Mapping[str, Tensor]) -> dict[str, Any]:
            return {
                kind: [[None if math.isnan(v) else v for v in row] for row in values.tolist()]
                for kind, values in by_kind.items()
            }

        kept = {
            "locator": self.name,
            "facts": self.facts,
            "clean": self.clean,
            "corrupted": self.corrupted,
            "classes": list(CLASSES),
            "peak": self.peak,
            "picked": list(picked),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "mean": plain(self.mean),
            "standard_error": plain(self.error),
        }
        path.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def by_class(fact: Fact, effects: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Effects (layers, tokens) as (layers, classes): means over the tokens of a class, NaN where it has none."""
    found = {}
    for kind, values in effects.items():
        found[kind] = torch.full((len(values), len(CLASSES)), float("nan"), dtype=torch.float64)
        for number in range(len(CLASSES)):
            tokens = [p for p in fact.positions if fact.class_of(p) == number]
            if tokens:
                found[kind][:, number] = values[:, tokens].mean(1)
    return found


def averaged(each: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Means over facts by kind, and their standard errors (NaN for a single fact); a fact without is left out."""
    mean, error = {}, {}
    for kind in each[0]:
        values = torch.stack([one[kind] for one in each])  # (facts, layers, classes)
        count = (~values.isnan()).sum(0)
        mean[kind] = values.nanmean(0)
        spread = (values - mean[kind]).square().nansum(0) / (count - 1).clamp_min(0)  # 0 / 0 is NaN
        error[kind] = torch.where(count > 1, (spread / count).sqrt(), float("nan"))
    return mean, error
