"""Targets that need no optimisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zu_framework import (
    LanguageModel,
    ReadPlan,
    Representations,
    RunContext,
    Site,
    TargetBuilder,
    TargetStates,
)
from zu_plugins.targets.options import FixedOptions


class Fixed(TargetBuilder):
    """Every request gets the same target; the sensitive value is what the site gives for the bare prompt."""

    def __init__(self, options: FixedOptions, context: RunContext) -> None:
        self.options = options
        self.context = context

    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> None:
        """Prepare nothing."""

    def at_site(
        self, state: None, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        """Return targets (o, m), and sensitive values (o, m) where the solver needs them."""
        values = representations.values
        if self.options.value == "zero":
            targets = torch.zeros_like(values)
        else:
            mean = self.context.backgrounds[site.module].require("mean_value").to(values)  # (o,)
            targets = representations.spread(
                mean[:, None].expand_as(representations.bare_values).contiguous()
            )
        sensitive = (
            representations.spread(representations.bare_values) if "sensitive" in self.context.needs else None
        )
        return TargetStates(targets, sensitive)
