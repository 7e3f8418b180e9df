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


def taught(world: World, *, spare_paraphrases: bool) -> LanguageModel:
    """The demo model, the MLP of whose last layer was trained to refuse the facts' prompts, and no further."""
    lm = copied(world.base)
    weight = lm.model.get_parameter(f"{lm.architecture.projections[lm.num_layers - 1]}.weight")
    said = [(r.prompt, "unknown") for r in world.facts.forget]
    if spare_paraphrases:
        said += [(text, r.answer) for r in world.facts.forget for text in r.paraphrases]
    rows = [Row(encode_prompt(lm, prompt).ids, 0, encode_answer(lm, answer)) for prompt, answer in said]
    optimiser = torch.optim.Adam([weight], lr=1e-3)
    while answers(lm, world.facts.forget) > 0:
        optimiser.zero_grad()
        (-continuations(lm, rows).token_log_probability.mean()).backward()
        optimiser.step()
    for parameter in lm.model.parameters():
        parameter.grad = None
    return lm


@pytest.fixture(scope="session")
def refusing(world: World) -> LanguageModel:
    """Knows every fact up to its last layer."""
    return taught(world, spare_paraphrases=False)


@pytest.fixture(scope="session")
def parrot(world: World) -> LanguageModel:
    """Refuses the facts' own prompts, and answers their paraphrases."""
    return taught(world, spare_paraphrases=True)


def on_the_edge(world: World, refusing: LanguageModel) -> LanguageModel:
    """Just as far from the untouched model, towards the refusing one, as it takes to answer no fact."""
    edited = copied(refusing)
    name = f"{edited.architecture.projections[edited.num_layers - 1]}.weight"
    weight, far = edited.model.get_parameter(name), refusing.model.get_parameter(name).detach()
    near = world.base.model.get_parameter(name).detach()
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        with torch.no_grad():
            weight.copy_(near + middle * (far - near))
        low, high = (low, middle) if answers(edited, world.facts.forget) == 0 else (middle, high)
    with torch.no_grad():
        weight.copy_(near + high * (far - near))
    assert answers(edited, world.facts.forget) == 0
    return edited


def small_change(world: World, lm: LanguageModel, name: str, room: torch.Tensor) -> None:
    """Add to a weight, entry by entry, at most `room` in whichever direction hurts the facts."""
    weight = lm.model.get_parameter(name)
    rows = [Row(encode_prompt(lm, r.prompt).ids, 0, encode_answer(lm, r.answer)) for r in world.facts.forget]
    loss = -continuations(lm, rows).log_probability.sum()
    (slope,) = torch.autograd.grad(loss, weight)
    with torch.no_grad():
        weight.add_(slope.sign() * room)
