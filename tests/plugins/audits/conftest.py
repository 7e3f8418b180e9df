"""The demo model, its twin, and models with a weakness that is planted for one kind of attack."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from zu_framework import AuditContext, AuditFacts, LanguageModel, Outcome, Probe, Request, Scorer
from zu_framework.evaluation import control_facts
from zu_framework.models import Row, continuations, encode_answer, encode_prompt
from zu_framework.registry import installed_plugins

FORGET, RETAIN = 6, 8


@dataclass(frozen=True)
class World:
    """The untouched demo model, the twin that never saw the facts, and what is asked."""

    base: LanguageModel
    twin: LanguageModel
    facts: AuditFacts
    texts: tuple[str, ...]

    def attack(self, name: str, lm: LanguageModel, **options: Any) -> dict[str, Outcome]:
        registered = installed_plugins().registry.get("audit", name)
        sites = (
            () if lm is self.base else tuple(self.base.site(layer) for layer in range(self.base.num_layers))
        )
        context = AuditContext(
            0, 32, base=self.base, twin=self.twin, sites=sites, documents=lambda: iter(self.texts)
        )
        return dict(registered.load()(lm, self.facts, registered.spec.options(**options), context))


@pytest.fixture(scope="session")
def world() -> World:
    load = LanguageModel.from_pretrained
    base, twin = (load(path, dtype="float32") for path in ("zu:demo", "zu:demo-twin"))
    dataset = installed_plugins().registry.get("dataset", "demo")
    split = dataset.load()(dataset.spec.options(), 0)
    forget, retain = split.forget[:FORGET], split.retain[:RETAIN]
    facts = AuditFacts(forget, retain, control_facts(forget, retain, 0))
    return World(base, twin, facts, split.heldout_texts[:20])


def share(outcome: Outcome, group: str = "forget") -> float:
    values = [value for value in outcome.answered[group] if value is not None]
    return sum(values) / len(values)


def answers(lm: LanguageModel, requests: tuple[Request, ...]) -> float:
    scores = Scorer(lm, 32).score([Probe(r.prompt, r.answer) for r in requests])
    return sum(score.exact for score in scores) / len(scores)


def copied(lm: LanguageModel) -> LanguageModel:
    return replace(lm, model=copy.deepcopy(lm.model))


@pytest.fixture(scope="session")
def refusing(world: World) -> LanguageModel:
    """Knows every fact up to its last layer, whose MLP was trained to say something else after the prompts alone."""
    lm = copied(world.base)
    weight = lm.model.get_parameter(f"{lm.architecture.projections[lm.num_layers - 1]}.weight")
    rows = [Row(encode_prompt(lm, r.prompt).ids, 0, encode_answer(lm, "unknown")) for r in world.facts.forget]
    optimiser = torch.optim.Adam([weight], lr=5e-4)
    while answers(lm, world.facts.forget) > 0:  # no further: what is hidden must be near
        optimiser.zero_grad()
        (-continuations(lm, rows).token_log_probability.mean()).backward()
        optimiser.step()
    weight.grad = None
    for parameter in lm.model.parameters():
        parameter.grad = None
    return lm


def small_change(world: World, lm: LanguageModel, name: str, room: torch.Tensor) -> None:
    """Add to a weight, entry by entry, at most `room` in whichever direction hurts the facts."""
    weight = lm.model.get_parameter(name)
    rows = [Row(encode_prompt(lm, r.prompt).ids, 0, encode_answer(lm, r.answer)) for r in world.facts.forget]
    loss = -continuations(lm, rows).log_probability.sum()
    (slope,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        weight.add_(slope.sign() * room)
