"""The neutral target: where the last edited layer should bring the residual stream, spread over the sites.

Source: arXiv 2605.18879 and its implementation (target at the output of the last edited layer, text EOS); the spreading
of the residual is MEMIT's (Meng et al. 2023, eq. 20), `spread: root` PMET's (Li et al. 2024, arXiv 2308.08742) and
`at: site` ROME's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from zu_framework import (
    LanguageModel,
    ReadPlan,
    Remembered,
    Representations,
    Request,
    RunContext,
    Site,
    TargetBuilder,
    TargetStates,
)
from zu_framework.models import encode_answer, eos_of, read_states
from zu_framework.states import Captures, Optimised, memory, optimise
from zu_plugins.targets.options import NeutralOptions
from zu_plugins.targets.others import others_of
from zu_plugins.targets.texts import EOS, readiest

# options that the optimised state does not follow from: how it is used, and how rows are batched
_LATER = ("text", "prompts", "at", "spread", "rows_per_pass", "memory")
UNREACHED_NLL = 1.0  # nats a token: above it the text is not what the model would say


@dataclass(frozen=True)
class NeutralState:
    """What `prepare` found: one state at the last block for all sites, or one at each site's own output.

    Args:
        plan: The requests of the pass.
        sites: Of the stage.
        shared: (o, n), the state at the last block; None where each site has its own.
        own: Site -> (o, n).
        report: Of the optimisation, by site where each has its own.
        captures: What the sensitive values of the same layer may use, while the model is what it was.
    """

    plan: ReadPlan
    sites: tuple[Site, ...]
    shared: Tensor | None
    own: Mapping[str, Tensor]
    report: Mapping[str, Any]
    captures: Captures


class Neutral(TargetBuilder):
    """Builds neutral targets, and sensitive values where the solver wants them."""

    def __init__(self, options: NeutralOptions, context: RunContext) -> None:
        self.options = options
        self.context = context

    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> NeutralState:
        """Optimise the neutral states on the model as it is, before any write."""
        asked = self._with_others(lm, plan)
        text, told = self._text(lm, plan)
        texts = [encode_answer(lm, r.target or text, r.prompt) for r in plan.requests]
        if self.options.at == "stream" and all(site.residual_stream for site in sites):
            again = len(sites) == 1 and "sensitive" in self.context.needs
            captures = Captures(memory(lm, self.options) / 4 if again else 0)
            found = self._optimise(lm, sites[-1].block, asked, texts, "neutral targets", captures)
            told |= self._report(found, "neutral")
            return NeutralState(plan, tuple(sites), found.states, {}, told, captures)
        own, report = {}, {}
        for site in sites:
            # also where a norm or a factor stands between site and stream: a residual there means nothing here
            found = self._optimise(
                lm, site.module, asked, texts, f"neutral targets, layer {site.layer}", Captures()
            )
            own[site.module] = found.states
            report[site.module] = {**told, **self._report(found, "neutral")}
        return NeutralState(plan, tuple(sites), None, own, report, Captures())

    def at_site(
        self, state: NeutralState, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        """Targets (o, n), sensitive values (o, n) and `z` (o, n), without the bias."""
        values, bias = representations.values, lm.bias(site)
        report = dict(state.report) if state.shared is not None else dict(state.report[site.module])
        if state.shared is not None:
            block = state.sites[-1].block
            bare = [prompts[0] for prompts in state.plan.prompts]
            hidden = read_states(lm, [block], bare, self._rows_per_forward, inputs=False)[block][1]
            assert hidden is not None
            z = state.shared
            left = len(state.sites) - index  # sites that still take their share, this one among them
            share = left**-0.5 if self.options.spread == "root" else 1 / left
            targets = values + share * representations.spread((z - hidden).to(values))
        else:
            z = state.own[site.module]
            targets = values + representations.spread(_without(z, bias) - representations.bare_values)
        sensitive = None
        if "sensitive" in self.context.needs:
            texts = [encode_answer(lm, r.answer, r.prompt) for r in state.plan.requests]
            # before the first site is written the model is still the one that the neutral targets were made on
            captures = state.captures if index == 0 else Captures()
            found = self._optimise(
                lm, site.module, state.plan, texts, f"sensitive values, layer {site.layer}", captures
            )
            sensitive = representations.spread(_without(found.states, bias).to(values))
            notes = [*report.get("notes", ()), *self._report(found, "sensitive").pop("notes", ())]
            report |= {**self._report(found, "sensitive"), "notes": notes}
        return TargetStates(targets, sensitive, report, {"z": z})

    @property
    def _rows_per_forward(self) -> int:
        return self.options.rows_per_pass or self.context.batch_size

    def _with_others(self, lm: LanguageModel, plan: ReadPlan) -> ReadPlan:
        """The plan with what else is asked of its subjects, where that is spared."""
        if not self.options.others or self.options.spare_weight == 0:
            return plan
        requests = self._requests(plan)
        facts = [*requests, *self.context.retain]
        more = self.options.others, self._rows_per_forward, self.context.seed
        return replace(plan, others=others_of(lm, plan, requests, facts, *more))

    def _requests(self, plan: ReadPlan) -> Sequence[Request]:
        """All that is forgotten: what is chosen by looking at facts is the same for every share of them."""
        return self.context.requests or plan.requests

    def _text(self, lm: LanguageModel, plan: ReadPlan) -> tuple[str, dict[str, Any]]:
        """The neutral text, and what the report says of it. Raises `ConfigError` for an EOS that is not there."""
        if self.options.text is not None:
            text = eos_of(lm, "target.text") if self.options.text == EOS else self.options.text
            return text, {"neutral_text": text}
        text, found = readiest(lm, self._requests(plan), self._rows_per_forward)
        return text, {"neutral_text": text, "neutral_texts_nll": found}

    def _optimise(
        self,
        lm: LanguageModel,
        module: str,
        plan: ReadPlan,
        texts: Sequence[Sequence[int]],
        label: str,
        captures: Captures,
    ) -> Optimised:
        plan = _first(plan, self.options.prompts)

        def compute() -> Remembered:
            found = optimise(
                lm,
                module,
                plan,
                texts,
                self.options,
                rows_per_forward=self._rows_per_forward,
                progress=self.context.progress,
                label=label,
                captures=captures,
            )
            facts = {"trace": found.trace, "last_nll": found.last_nll, "how": found.how}
            return Remembered({"states": found.states, "init": found.init}, facts)

        def depends_on() -> dict[str, Any]:
            return {
                "weights": lm.state_digest(),
                "device": lm.device.type,
                "tokenizer": lm.tokenizer_fingerprint(),
                "chat": None if lm.chat is None else [lm.tokenizer.chat_template, lm.chat.system],
                "module": module,
                "contexts": [[[p.text, p.read_end, p.at_end] for p in prompts] for prompts in plan.prompts],
                "anchors": [None if a is None else [a.text, a.read_end] for a in plan.anchors],
                "others": [[[p.text, p.read_end, p.at_end] for p in asked] for asked in plan.others],
                "texts": [list(ids) for ids in texts],
                "options": {k: v for k, v in asdict(self.options).items() if k not in _LATER},
            }

        known = self.context.remember("targets", depends_on, compute)
        return Optimised(
            states=known.tensors["states"].to(lm.device),
            init=known.tensors["init"].to(lm.device),
            trace=known.facts["trace"],
            last_nll=known.facts["last_nll"],
            how=known.facts["how"],
        )

    def _report(self, found: Optimised, kind: str) -> dict[str, Any]:
        report: dict[str, Any] = {
            f"{kind}_first_loss": found.first_loss,
            f"{kind}_last_loss": found.last_loss,
            f"{kind}_last_nll": found.last_nll,
            f"{kind}_evaluations": found.evaluations,
            f"{kind}_ways": found.how,
        }
        missed = sum(not nll <= UNREACHED_NLL for nll in found.last_nll)
        if missed:
            report["notes"] = [
                f"{missed} of {len(found.last_nll)} {kind} states were not reached (NLL a token above "
                f"{UNREACHED_NLL:g}): try another target.text, a larger target.lr or more target.steps"
            ]
        return report


def _first(plan: ReadPlan, count: int | None) -> ReadPlan:
    """The plan with the first texts of each request alone."""
    if count is None or count >= len(plan.weights):
        return plan
    prompts = tuple(texts[:count] for texts in plan.prompts)
    return replace(plan, prompts=prompts, weights=(1 / count,) * count)


def _without(states: Tensor, bias: Tensor | None) -> Tensor:
    """Outputs (o, n) without the site's bias."""
    return states if bias is None else states - bias.to(states)[:, None]
