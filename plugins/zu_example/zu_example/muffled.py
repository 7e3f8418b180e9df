"""`muffled`: a target that needs no optimisation, the site's own output made smaller."""

from collections.abc import Sequence

from zu_example.plugin import MuffledOptions
from zu_framework import (
    LanguageModel,
    ReadPlan,
    Representations,
    RunContext,
    Site,
    TargetBuilder,
    TargetStates,
)


class Muffled(TargetBuilder):
    """T = (1 - strength) V; the sensitive values are what the site gives for the bare prompts."""

    def __init__(self, options: MuffledOptions, context: RunContext) -> None:
        self.options = options
        self.context = context

    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> None:
        """Prepare nothing: all that is needed is read at the site."""

    def at_site(
        self, state: None, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        """Return targets (o, m), and sensitive values (o, m) where the solver needs them."""
        sensitive = None
        if "sensitive" in self.context.needs:
            sensitive = representations.spread(representations.bare_values)
        return TargetStates((1 - self.options.strength) * representations.values, sensitive)
