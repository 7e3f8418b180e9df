"""`bare-end`: the last token of the prompt alone, in no context."""

from collections.abc import Sequence

from zu_framework import (
    Collector,
    LanguageModel,
    NoOptions,
    ReadPlan,
    ReadPrompt,
    Representations,
    Request,
    RunContext,
    Site,
)
from zu_framework.models import read_states


class BareEnd(Collector):
    """One column a request: what the site reads and gives where the model is about to answer."""

    def __init__(self, options: NoOptions, context: RunContext) -> None:
        self.context = context

    def plan(self, lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        """Return a row of one text a request."""
        rows = tuple((ReadPrompt(request.prompt, len(request.prompt), at_end=True),) for request in requests)
        return ReadPlan(tuple(requests), rows, weights=(1.0,), anchors=(None,) * len(rows))

    def collect(self, lm: LanguageModel, plan: ReadPlan, site: Site) -> Representations:
        """Return keys (i, n) and values (o, n) = W keys, without the bias."""
        prompts = [row[0] for row in plan.prompts]
        keys, values = read_states(lm, [site.module], prompts, self.context.batch_size)[site.module]
        assert keys is not None and values is not None
        bias = lm.bias(site)
        if bias is not None:
            values = values - bias.to(values)[:, None]
        return Representations(keys, values, bare_keys=keys, bare_values=values)
