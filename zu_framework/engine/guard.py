"""The guard: what an update would do to the rest of the model, predicted before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite
from typing import Any

from torch import Tensor

from zu_framework.config import GuardConfig
from zu_framework.errors import GuardError
from zu_framework.linalg import change_on_keys, change_on_text
from zu_framework.models import LanguageModel, is_linear, read_states
from zu_framework.problem import Background, ReadPlan, Site, Update

FEWER = "forget fewer facts at once"


@dataclass
class Guard:
    """Predicts what each update does to general text and to other facts, and stops what would damage the model.

    Args:
        lm: The model.
        limits: Above which nothing is written.
        others: Which bare prompts of other facts are read, where the first stage reads.
        text: Inputs (i, t) of sites at general text, by module, for sites without moments.
        ways_out: What a user can change, a clause each, as the components of the run word it.
        batch_size: Rows of a forward pass.
        total: What was predicted of all updates so far, summed over the MLPs' outputs: the shares that several sites
            carry of one change point the same way.
    """

    lm: LanguageModel
    limits: GuardConfig
    others: ReadPlan | None = None
    text: Mapping[str, Tensor] = field(default_factory=dict)
    ways_out: Sequence[str] = ()
    batch_size: int = 32
    total: dict[str, float] = field(default_factory=dict)
    _keys: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def sees(self, site: Site) -> bool:
        """Return whether a site can be looked at: the weight of a linear map inside the model."""
        if site.parameter != "weight" or site.module == self.lm.architecture.head:
            return False
        return is_linear(self.lm.model.get_submodule(site.module))

    def read(self, sites: Sequence[Site]) -> None:
        """Read the keys of other facts at sites in one pass, for updates that are all known before the first write."""
        self._keys = self._read([site for site in sites if self.sees(site)])

    def check(self, site: Site, update: Update, background: Background) -> dict[str, Any]:
        """Predict the damage of an update before it is written.

        Args:
            site: Where it is written.
            update: What is written.
            background: Moments of general text there, sinks left out; empty where there are none.

        Returns:
            `text`: the relative change of the site's outputs on general text; `facts`: its mean over other facts; for
            the site's report. One that cannot be predicted is left out.

        Raises:
            GuardError: Their sum over the sites so far is above a limit: nothing is written, and what was written
                before is taken back.
        """
        if not self.sees(site):
            return {}
        weight = self.lm.weight(site)
        predicted: dict[str, Any] = {}
        if self.limits.text is not None:
            share = change_on_text(weight, update, background)
            if share is None and site.module in self.text:
                ratios = change_on_keys(weight, update, self.text[site.module])
                share = fsum(ratios) / len(ratios)
            if share is not None:
                predicted["text"] = share
        if self.limits.facts is not None:
            # read for this update alone: a later stage's are those of the model as it is then
            keys = self._keys.pop(site.module, None)
            if keys is None:
                keys = self._read([site]).get(site.module)
            if keys is not None:
                ratios = change_on_keys(weight, update, keys)
                predicted["facts"] = fsum(ratios) / len(ratios)
        for name, value in predicted.items():
            limit = getattr(self.limits, name)
            # other weights (of a model solver) do not write to the residual stream: they count alone
            summed = value + (self.total.get(name, 0.0) if site.layer >= 0 else 0.0)
            if not (isfinite(summed) and summed <= limit):
                raise GuardError(self._why(site, name, value, summed, limit))
            if site.layer >= 0:
                self.total[name] = summed
        return predicted

    def _read(self, sites: Sequence[Site]) -> dict[str, Tensor]:
        if self.others is None or not self.others.prompts or not sites:
            return {}
        prompts = [row[0] for row in self.others.prompts]
        read = read_states(self.lm, [site.module for site in sites], prompts, self.batch_size, outputs=False)
        return {module: keys for module, (keys, _) in read.items() if keys is not None}

    def _why(self, site: Site, name: str, value: float, summed: float, limit: float) -> str:
        what = {"text": "general text", "facts": "other facts"}[name]
        ways = "; or ".join([*self.ways_out, FEWER, f"guard.{name}=null lets it pass"])
        layer = f" (layer {site.layer})" if site.layer >= 0 else ""
        before = f", {100 * summed:.0f} % with the sites before it" if summed != value else ""
        return (
            f"stopped before writing {site.name!r}{layer}: the update would change its outputs on {what} "
            f"by {100 * value:.0f} %{before}; the limit is {100 * limit:.0f} %. The model is as it was. "
            f"What helps: {ways}"
        )
